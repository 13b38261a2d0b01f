// The malloc family under the preload library. The program starts itself anew with the library in front.
#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <new>

#include "tests/conformance/allocator_conformance.h"
#include "thermocline/thermocline.h"

namespace thermocline {
namespace {

// From here up the library takes what malloc is asked for.
constexpr size_t kThreshold = 4096;

// The C API is the preload library's: this program is linked with nothing of ours.
template <typename Function>
Function* Find(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

// The compiler knows malloc and free, and would see that some of what follows is wrong.
void* (*volatile const malloc_function)(size_t) = &malloc;
void* (*volatile const calloc_function)(size_t, size_t) = &calloc;
void* (*volatile const realloc_function)(void*, size_t) = &realloc;
void* (*volatile const aligned_alloc_function)(size_t, size_t) = &aligned_alloc;
void (*volatile const free_function)(void*) = &free;

class Malloc : public AllocatorUnderTest {
 public:
  void* Allocate(size_t bytes) override { return malloc_function(bytes); }
  void Free(void* pointer, size_t) override { free_function(pointer); }
  void* Reallocate(void* pointer, size_t bytes) override { return realloc_function(pointer, bytes); }
  size_t UsableBytes(void* pointer, size_t) override { return malloc_usable_size(pointer); }
  std::string FreeWrongly(void* pointer) override {
    Find(&tc_get_stats, "thermocline_get_stats")(nullptr, nullptr);
    const std::string before = LastError();
    free_function(pointer);
    return LastError() == before ? "" : LastError();
  }
  size_t least() const override { return kThreshold; }
  size_t budget() const override { return Stats().fast_budget_bytes; }
  size_t peak_fast_bytes() const override { return Stats().peak_fast_bytes; }

 private:
  static const char* LastError() { return Find(&tc_last_error, "thermocline_last_error")(); }
  static tc_stats Stats() {
    tc_stats stats{};
    stats.struct_size = sizeof(stats);
    Find(&tc_get_stats, "thermocline_get_stats")(nullptr, &stats);
    return stats;
  }
};

class Calloc final : public Malloc {
 public:
  void* Allocate(size_t bytes) override {
    auto* const pointer = static_cast<char*>(calloc_function(1, bytes));
    if (pointer != nullptr) {
      EXPECT_TRUE(std::all_of(pointer, pointer + bytes, [](char c) { return c == 0; })) << bytes;
    }
    return pointer;
  }
};

class AlignedAlloc final : public Malloc {
 public:
  void* Allocate(size_t bytes) override { return aligned_alloc_function(256, bytes); }
};

class New final : public Malloc {
 public:
  void* Allocate(size_t bytes) override { return ::operator new(bytes, std::nothrow); }
  void Free(void* pointer, size_t) override { ::operator delete(pointer); }
};

template <typename Under>
AllocatorKind Kind(const char* name) {
  return {name, []() -> std::unique_ptr<AllocatorUnderTest> {
            return dlsym(RTLD_DEFAULT, "thermocline_get_stats") == nullptr ? nullptr : std::make_unique<Under>();
          }};
}

const auto kAll = ::testing::Values(Kind<Malloc>("Malloc"), Kind<Calloc>("Calloc"), Kind<AlignedAlloc>("AlignedAlloc"),
                                    Kind<New>("New"));

}  // namespace

INSTANTIATE_TEST_SUITE_P(Preload, AllocatorConformance, kAll, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Preload, ThreadedAllocatorConformance, kAll, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Preload, RefusingAllocatorConformance, kAll, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Preload, BudgetedAllocatorConformance, kAll, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Preload, ReallocatingAllocatorConformance, ::testing::Values(Kind<Malloc>("Malloc")),
                         AllocatorKindName);

}  // namespace thermocline

int main(int argc, char** argv) {
  if (dlsym(RTLD_DEFAULT, "thermocline_get_stats") == nullptr && getenv("LD_PRELOAD") == nullptr) {
    setenv("LD_PRELOAD", THERMOCLINE_PRELOAD, 1);
    setenv("THERMOCLINE_FAST", "4MiB", 1);
    setenv("THERMOCLINE_SLOW", "emulated:in=4GB/s,out=4GB/s,latency=10us,capacity=128MiB", 1);
    setenv("THERMOCLINE_LINK", "in=4GB/s,out=4GB/s", 1);
    setenv("THERMOCLINE_GRANULE", "64KiB", 1);
    setenv("THERMOCLINE_PLANNER", "lru", 1);
    setenv("THERMOCLINE_THRESHOLD", std::to_string(thermocline::kThreshold).c_str(), 1);
    execv("/proc/self/exe", argv);
    std::perror("execv");
    return 1;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

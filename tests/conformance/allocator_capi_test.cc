// The library's own ways in: the C functions, the C++ class, and std::pmr on it.
#include "tests/conformance/runtime_under_test.h"

namespace thermocline {
namespace {

class CFunctions : public RuntimeUnderTest {
 public:
  explicit CFunctions(std::unique_ptr<Runtime> owned) : RuntimeUnderTest(owned->handle()), owned_(std::move(owned)) {}
  void* Allocate(size_t bytes) override { return tc_alloc(runtime_, bytes); }
  void Free(void* pointer, size_t) override { tc_free(runtime_, pointer); }
  void* Reallocate(void* pointer, size_t bytes) override { return tc_realloc(runtime_, pointer, bytes); }

 protected:
  const std::unique_ptr<Runtime> owned_;
};

class Zeroed final : public CFunctions {
 public:
  using CFunctions::CFunctions;
  void* Allocate(size_t bytes) override {
    auto* const pointer = static_cast<char*>(tc_calloc(runtime_, 1, bytes));
    if (pointer != nullptr) {
      EXPECT_TRUE(std::all_of(pointer, pointer + bytes, [](char c) { return c == 0; })) << bytes;
    }
    return pointer;
  }
};

class Class final : public CFunctions {
 public:
  using CFunctions::CFunctions;
  void* Allocate(size_t bytes) override { return owned_->Allocate(bytes); }
  void Free(void* pointer, size_t) override { owned_->Deallocate(pointer); }
};

class Pmr final : public CFunctions {
 public:
  explicit Pmr(std::unique_ptr<Runtime> owned) : CFunctions(std::move(owned)), resource_(owned_.get()) {}
  void* Allocate(size_t bytes) override {
    try {
      return resource_.allocate(bytes, 8);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }
  // A memory_resource gives no null, and takes none.
  void Free(void* pointer, size_t bytes) override {
    if (pointer != nullptr) resource_.deallocate(pointer, bytes, 8);
  }

 private:
  MemoryResource resource_;
};

template <typename Under>
AllocatorKind Kind(const char* name) {
  return {name, []() -> std::unique_ptr<AllocatorUnderTest> {
            std::unique_ptr<Runtime> runtime = RuntimeUnderTest::Make();
            return runtime == nullptr ? nullptr : std::make_unique<Under>(std::move(runtime));
          }};
}

// The pass-through has malloc's manners: no budget, and a wrong free is malloc's affair.
AllocatorKind Off() {
  return {"Off", []() -> std::unique_ptr<AllocatorUnderTest> {
            setenv("THERMOCLINE", "off", 1);
            std::unique_ptr<Runtime> runtime = RuntimeUnderTest::Make();
            unsetenv("THERMOCLINE");
            return runtime == nullptr ? nullptr : std::make_unique<CFunctions>(std::move(runtime));
          }};
}

const auto kOurs =
    ::testing::Values(Kind<CFunctions>("CFunctions"), Kind<Zeroed>("Zeroed"), Kind<Class>("Class"), Kind<Pmr>("Pmr"));

}  // namespace

INSTANTIATE_TEST_SUITE_P(Runtime, AllocatorConformance, kOurs, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Runtime, ThreadedAllocatorConformance, kOurs, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Runtime, RefusingAllocatorConformance, kOurs, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Runtime, ForeignFreeConformance, kOurs, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Runtime, BudgetedAllocatorConformance, kOurs, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Runtime, ReallocatingAllocatorConformance, ::testing::Values(Kind<CFunctions>("CFunctions")),
                         AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(PassThrough, AllocatorConformance, ::testing::Values(Off()), AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(PassThrough, ThreadedAllocatorConformance, ::testing::Values(Off()), AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(PassThrough, ReallocatingAllocatorConformance, ::testing::Values(Off()), AllocatorKindName);

}  // namespace thermocline

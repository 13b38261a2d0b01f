// The system has no memory left for the library's own bookkeeping: the C functions say so, and throw nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>

#include "thermocline/thermocline.h"

namespace {

// Allocations of this thread that succeed until one fails; below 0: all do.
thread_local int64_t t_until_failure = -1;

void* AllocateOrFail(size_t bytes, size_t alignment) {
  if (t_until_failure == 0) return nullptr;
  if (t_until_failure > 0) --t_until_failure;
  return std::aligned_alloc(alignment, (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment);
}
void* AllocateOrThrow(size_t bytes, size_t alignment) {
  void* const pointer = AllocateOrFail(bytes, alignment);
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

}  // namespace

void* operator new(size_t bytes) { return AllocateOrThrow(bytes, alignof(std::max_align_t)); }
void* operator new[](size_t bytes) { return AllocateOrThrow(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return AllocateOrThrow(bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return AllocateOrFail(bytes, alignof(std::max_align_t));
}
void operator delete(void* pointer) noexcept { std::free(pointer); }
void operator delete[](void* pointer) noexcept { std::free(pointer); }
void operator delete(void* pointer, size_t) noexcept { std::free(pointer); }
void operator delete[](void* pointer, size_t) noexcept { std::free(pointer); }
void operator delete(void* pointer, std::align_val_t) noexcept { std::free(pointer); }
void operator delete(void* pointer, size_t, std::align_val_t) noexcept { std::free(pointer); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { std::free(pointer); }

namespace {

using ::testing::HasSubstr;

// `call`, with every allocation failing from the `nth` on.
template <typename Call>
auto WithoutMemory(int64_t nth, const Call& call) {
  t_until_failure = nth;
  const auto result = call();
  t_until_failure = -1;
  return result;
}

// The call, again and again, each time with memory for one more allocation, until that is enough. Returns how often it
// was not.
int64_t UntilItSucceeds(const std::function<tc_status()>& call) {
  constexpr int64_t kMost = 100'000;
  for (int64_t n = 0; n < kMost; ++n) {
    const tc_status status = WithoutMemory(n, call);
    if (status == TC_OK) return n;
    EXPECT_EQ(status, TC_OUT_OF_MEMORY) << "allocation " << n << ": " << tc_last_error();
    EXPECT_THAT(tc_last_error(), HasSubstr("no memory left for the library's bookkeeping"));
  }
  return kMost;
}

class OutOfMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("THERMOCLINE_LINK", "in=2GB/s,out=2GB/s", 1);  // known, so that the start needs no measurement
    ASSERT_EQ(tc_create(&options_, &runtime_), TC_OK) << tc_last_error();
  }
  void TearDown() override { tc_destroy(runtime_); }

  static tc_options Options() {
    tc_options options = {};
    options.struct_size = sizeof(options);
    options.fast = "4MiB";
    options.slow = "emulated:in=2GB/s,out=2GB/s";
    options.granule_bytes = 64 << 10;
    return options;
  }

  const tc_options options_ = Options();
  tc_runtime* runtime_ = nullptr;
};

TEST_F(OutOfMemory, FailsACreateAtWhicheverOfItsAllocationsItComes) {
  tc_runtime* another = nullptr;
  const int64_t failed = UntilItSucceeds([&] { return tc_create(&options_, &another); });
  EXPECT_GT(failed, 20);
  ASSERT_NE(another, nullptr);
  void* const tensor = tc_alloc(another, 1 << 20);
  ASSERT_NE(tensor, nullptr) << tc_last_error();
  EXPECT_EQ(tc_free(another, tensor), TC_OK);
  tc_destroy(another);
}

TEST_F(OutOfMemory, FailsAnAllocationAndLeavesTheBytesOfOthers) {
  constexpr size_t kBytes = 128 << 10;
  constexpr int kTensors = 40;  // more than the budget
  std::array<unsigned char*, kTensors> tensors{};
  for (int i = 0; i < kTensors; ++i) {
    tensors[i] = static_cast<unsigned char*>(tc_alloc(runtime_, kBytes));
    ASSERT_NE(tensors[i], nullptr) << tc_last_error();
    std::memset(tensors[i], i, kBytes);
  }
  // As many as make some table grow.
  void* refused = this;
  for (int i = 0; i < 1000 && refused != nullptr; ++i) {
    refused = WithoutMemory(0, [&] { return tc_alloc(runtime_, 32 << 10); });
  }
  EXPECT_EQ(refused, nullptr);
  EXPECT_THAT(tc_last_error(), HasSubstr("no memory left for the library's bookkeeping"));
  for (int i = 0; i < kTensors; ++i) {
    EXPECT_EQ(std::count(tensors[i], tensors[i] + kBytes, static_cast<unsigned char>(i)), int64_t{kBytes}) << i;
  }
}

TEST_F(OutOfMemory, FailsAMarkWhichCanBeMadeAgain) {
  ASSERT_EQ(tc_begin_step(runtime_), TC_OK);
  const auto mark = [&] {
    return tc_add_named_layer(runtime_, "a name that is too long to be kept within its string");
  };
  EXPECT_GT(UntilItSucceeds(mark), 0);
  EXPECT_EQ(tc_end_step(runtime_), TC_OK);
  EXPECT_EQ(tc_begin_step(runtime_), TC_OK);
}

TEST_F(OutOfMemory, IsSaidOfAWrongArgumentToo) {
  const tc_status freed = WithoutMemory(0, [&] { return tc_free(runtime_, this); });
  EXPECT_EQ(freed, TC_OUT_OF_MEMORY);
  EXPECT_THAT(tc_last_error(), HasSubstr("no memory left"));
  EXPECT_EQ(tc_free(runtime_, this), TC_INVALID_ARGUMENT);
  EXPECT_THAT(tc_last_error(), HasSubstr("no live allocation"));
  // A message that is a literal needs none.
  EXPECT_EQ(WithoutMemory(0, [&] { return tc_set_fast_budget(runtime_, nullptr); }), TC_INVALID_ARGUMENT);
  EXPECT_THAT(tc_last_error(), HasSubstr("`fast` is NULL"));
}

}  // namespace

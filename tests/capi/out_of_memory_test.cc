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
#include <vector>

#include "tests/base/failing_new.h"
#include "thermocline/thermocline.h"

namespace {

using ::testing::HasSubstr;

// `call`, with every allocation failing from the `nth` on.
template <typename Call>
auto WithoutMemory(int64_t nth, const Call& call) {
  const thermocline::testing::NoMemory none(nth);
  return call();
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

// A step of the profiled shape, of whose calls each finds memory only after it has failed at each of its allocations.
// The end of a profiled step is left alone: it plans.
void StepWithLittleMemory(tc_runtime* runtime, int64_t* failed) {
  constexpr int kLayers = 4, kInLayer = 6;
  constexpr size_t kBytes = 128 << 10;
  *failed += UntilItSucceeds([=] { return tc_begin_step(runtime); });
  for (int layer = 0; layer < kLayers; ++layer) {
    *failed += UntilItSucceeds([=] { return tc_add_layer(runtime); });
    std::vector<unsigned char*> tensors;
    for (int i = 0; i < kInLayer; ++i) {
      void* tensor = nullptr;
      const auto allocate = [&] { return (tensor = tc_alloc(runtime, kBytes)) != nullptr ? TC_OK : TC_OUT_OF_MEMORY; };
      *failed += UntilItSucceeds(allocate);
      tensors.push_back(static_cast<unsigned char*>(tensor));
      std::memset(tensor, layer * kInLayer + i, kBytes);
    }
    for (int i = 0; i < kInLayer; ++i) {
      const auto fill = static_cast<unsigned char>(layer * kInLayer + i);
      EXPECT_EQ(std::count(tensors[i], tensors[i] + kBytes, fill), int64_t{kBytes});
      EXPECT_EQ(WithoutMemory(0, [&] { return tc_free(runtime, tensors[i]); }), TC_OK) << "a free needs none";
    }
  }
  EXPECT_EQ(tc_end_step(runtime), TC_OK) << tc_last_error();
}

TEST_F(OutOfMemory, FailsCallsOfAProfiledStepThatIsThenAsAnyOther) {
  int64_t failed = 0;
  for (int step = 0; step < 2; ++step) StepWithLittleMemory(runtime_, &failed);  // by demand, profiled
  EXPECT_GT(failed, 10);
  for (int step = 0; step < 3; ++step) StepWithLittleMemory(runtime_, &failed);
  tc_stats stats = {};
  stats.struct_size = sizeof(stats);
  ASSERT_EQ(tc_get_stats(runtime_, &stats), TC_OK);
  EXPECT_EQ(stats.live_bytes, 0u) << "what failed is not alive";
  EXPECT_EQ(stats.mismatched_allocations, 0u);
}

// What is planned is lost then, and not the step: a later one is profiled and planned.
TEST_F(OutOfMemory, FailsTheEndOfAProfiledStepWhichEndsAllTheSame) {
  tc_stats stats = {};
  stats.struct_size = sizeof(stats);
  int64_t failed = 0;
  for (int64_t n = 0; stats.matched_allocations == 0; ++n) {
    ASSERT_LT(n, 1'000'000) << "nothing was ever planned";
    ASSERT_EQ(tc_begin_step(runtime_), TC_OK) << n << ": " << tc_last_error();
    std::array<unsigned char*, 8> tensors{};
    for (unsigned char*& tensor : tensors) {
      ASSERT_EQ(tc_add_layer(runtime_), TC_OK);
      tensor = static_cast<unsigned char*>(tc_alloc(runtime_, 256 << 10));
      ASSERT_NE(tensor, nullptr) << tc_last_error();
      std::memset(tensor, static_cast<int>(n), 256 << 10);
    }
    for (unsigned char* const tensor : tensors) {
      EXPECT_EQ(tensor[(256 << 10) - 1], static_cast<unsigned char>(n));
      EXPECT_EQ(tc_free(runtime_, tensor), TC_OK);
    }
    // A first try for each number of allocations; another may find nothing left to plan.
    tc_status ended = TC_INTERNAL;
    for (int64_t allocations = n; ended != TC_OK; ++allocations) {
      ended = WithoutMemory(allocations, [&] { return tc_end_step(runtime_); });
      failed += ended == TC_OK ? 0 : 1;
      ASSERT_TRUE(ended == TC_OK || ended == TC_OUT_OF_MEMORY) << allocations << ": " << tc_last_error();
    }
    ASSERT_EQ(tc_get_stats(runtime_, &stats), TC_OK);
  }
  EXPECT_GT(failed, 10);
  EXPECT_EQ(stats.mismatched_allocations, 0u) << "no plan was made of half a profile";
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

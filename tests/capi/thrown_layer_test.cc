// A layer that throws: what it held is freed on the way out, the caller catches it and trains on. The library has no
// frames of its own on the stack then, so nothing passes through it; what it must bear is a step that is cut off.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <memory_resource>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/capi/network_on_capi.h"

namespace thermocline {
namespace {

using ::testing::HasSubstr;
using Tensor = std::pmr::vector<float>;

constexpr int kLayers = 10;
constexpr int64_t kFloats = 64 * 1024;  // 256 KiB a tensor, 3 MiB at the peak

// Forward and back over tensors that free themselves; throws at the boundary before layer `thrower`.
double Pass(std::pmr::memory_resource* memory, const std::function<void()>& add_layer, int step, int thrower = -1) {
  std::vector<Tensor> saved;
  double sum = 0;
  for (int layer = 0; layer < 2 * kLayers; ++layer) {
    add_layer();
    if (layer == thrower) throw std::runtime_error("no more data");
    if (layer < kLayers) {
      Tensor scratch(kFloats, static_cast<float>(layer), memory);
      saved.emplace_back(kFloats, static_cast<float>(step), memory);
      for (int64_t i = 0; i < kFloats; ++i) {
        saved.back()[i] += scratch[i] * 0.5f + (layer > 0 ? saved[layer - 1][i] * 0.25f : static_cast<float>(i % 7));
      }
    } else {
      for (const float value : saved.back()) sum += value;
      saved.pop_back();
    }
  }
  return sum;
}

double Expected(int step) {
  return Pass(
      std::pmr::new_delete_resource(), [] {}, step);
}

class ThrownLayer : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    runtime_ = SmallRuntime("1MiB");
    memory_ = std::make_unique<MemoryResource>(runtime_.get());
  }
  double Run(int step, int thrower = -1) {
    return Pass(
        memory_.get(), [this] { EXPECT_TRUE(runtime_->AddLayer().ok()); }, step, thrower);
  }
  void ExpectAllIsWell() const {
    const tc_stats stats = runtime_->Stats();
    EXPECT_EQ(stats.live_bytes, 0u) << "unwinding frees what the layer held";
    EXPECT_LE(stats.peak_fast_bytes, stats.fast_budget_bytes);
    EXPECT_GT(stats.bytes_out, 0u);
  }

  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<MemoryResource> memory_;
};

// The parameter is the step that throws: while it runs by demand, while it is profiled, when it is placed.
TEST_P(ThrownLayer, EndsAMarkedStepAndTheNextOnesAreRight) {
  for (int step = 0; step < 12; ++step) {
    ASSERT_TRUE(runtime_->BeginStep().ok());
    if (step != GetParam()) {
      EXPECT_EQ(Run(step), Expected(step)) << step;
      ASSERT_TRUE(runtime_->EndStep().ok());
      continue;
    }
    EXPECT_THROW(Run(step, 13), std::runtime_error);
    const Status again = runtime_->BeginStep();
    EXPECT_EQ(again.code(), TC_FAILED_PRECONDITION);
    EXPECT_THAT(again.message(), HasSubstr("end_step must come first")) << "it says how to go on";
    ASSERT_TRUE(runtime_->EndStep().ok());
  }
  ExpectAllIsWell();
  EXPECT_GT(runtime_->Stats().matched_allocations, 20u) << "it never planned, after the cut-off step";
}

TEST_P(ThrownLayer, LeavesTheThreeHooksInStep) {
  for (int step = 0; step < 12; ++step) {
    if (step == 2) {
      ASSERT_TRUE(runtime_->StartProfile().ok());
    }
    if (step == GetParam()) {
      EXPECT_THROW(Run(step, 13), std::runtime_error);
    } else {
      EXPECT_EQ(Run(step), Expected(step)) << step;
    }
    if (step == 2) {
      ASSERT_TRUE(runtime_->EndProfile().ok());
    }
  }
  ExpectAllIsWell();
}

INSTANTIATE_TEST_SUITE_P(Steps, ThrownLayer, ::testing::Values(0, 1, 2, 3, 7));

}  // namespace
}  // namespace thermocline

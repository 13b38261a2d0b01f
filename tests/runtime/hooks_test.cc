// The paper's three hooks, as its users write them: profiled step first, then add_layer alone.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "src/plan/plan_file.h"
#include "src/runtime/runtime.h"
#include "tests/runtime/known_link.h"

namespace thermocline {
namespace {

constexpr int kLayers = 8;
constexpr int64_t kCount = 64 * 1024;  // of ints: four granules a tensor

std::unique_ptr<runtime::Runtime> SmallRuntime(const std::string& plan = "") {
  runtime::RawSettings raw;
  raw.fast = "2MiB";
  raw.slow = "emulated:in=2GB/s,out=2GB/s";
  raw.granule_bytes = KiB(64).count();
  raw.plan_in = plan;
  return *runtime::Runtime::Create(SettingsWithKnownLink(raw));
}

class Hooks : public ::testing::Test {
 protected:
  int* New() { return static_cast<int*>(runtime_->Allocate(Bytes(count_ * sizeof(int)), Bytes(64))); }
  void Delete(int* tensor) { EXPECT_TRUE(runtime_->Free(tensor)); }

  // A step with its input born before the first add_layer and freed after the last, and with `tail_` tensors of its own
  // after that.
  void Step(int step) {
    int* input = New();
    std::iota(input, input + count_, step);
    std::vector<int*> saved = {input};
    for (int layer = 0; layer < layers_; ++layer) {
      ASSERT_TRUE(runtime_->AddLayer("").ok());
      int* output = New();
      for (int64_t i = 0; i < count_; ++i) output[i] = saved.back()[i] + 1;
      saved.push_back(output);
    }
    std::this_thread::sleep_for(last_layer_);
    for (int layer = 0; layer <= layers_; ++layer) {
      // Compared without a macro for each: that is 50 times slower, where QEMU emulates each instruction above all.
      const int* const values = saved[layer];
      int64_t right = 0;
      while (right < count_ && values[right] == right + step + layer) ++right;
      ASSERT_EQ(right, count_) << "the first wrong one of layer " << layer << " is " << values[right];
    }
    for (int i = 0; i < tail_; ++i) {
      saved.push_back(static_cast<int*>(runtime_->Allocate(tail_bytes_, Bytes(64))));
      std::memset(saved.back(), i, tail_bytes_.count());
    }
    for (int* tensor : saved) Delete(tensor);
  }

  void ProfiledStep(int step) {
    ASSERT_TRUE(runtime_->StartProfile().ok());
    Step(step);
    const absl::Status profiled = runtime_->EndProfile();
    ASSERT_TRUE(profiled.ok()) << profiled;
  }
  void MarkedStep(int step) {
    ASSERT_TRUE(runtime_->BeginStep().ok());
    Step(step);
    ASSERT_TRUE(runtime_->EndStep().ok());
  }

  // From now on four steps in which everything finds its place, and nothing is profiled again.
  void ExpectFourMatchedSteps(int first, int64_t profiles) {
    const runtime::RuntimeStats before = runtime_->Stats();
    EXPECT_EQ(before.profiles, profiles);
    for (int step = first; step < first + 4; ++step) Step(step);
    const runtime::RuntimeStats stats = runtime_->Stats();
    EXPECT_EQ(stats.profiles, profiles);
    EXPECT_EQ(stats.matched - before.matched, 4 * (kLayers + 1 + tail_));
    EXPECT_EQ(stats.mismatched, before.mismatched);
  }

  // The program starts again, with the plan that it ended with.
  void StartAgain() {
    const std::string path = ::testing::TempDir() + "hooks_test_" + std::to_string(getpid()) + ".json";
    ASSERT_TRUE(plan::SavePlan(*runtime_->current_shape()->plan, path).ok());
    runtime_ = SmallRuntime(path);
    std::filesystem::remove(path);
  }

  int layers_ = kLayers;
  int64_t count_ = kCount;
  std::chrono::milliseconds last_layer_{0};
  int tail_ = 0;
  Bytes tail_bytes_ = KiB(64);
  std::unique_ptr<runtime::Runtime> runtime_ = SmallRuntime();
};

TEST_F(Hooks, ATensorThatOutlivesEveryLayerOfItsStepIsPlacedLikeTheOthers) {
  Step(0);
  ProfiledStep(1);
  for (int step = 2; step < 8; ++step) Step(step);
  const runtime::RuntimeStats stats = runtime_->Stats();
  EXPECT_GE(stats.matched, 5 * (kLayers + 1));
  EXPECT_LE(stats.mismatched, kLayers + 1) << "only what precedes the first mark of a placed step may miss its place";
}

TEST_F(Hooks, ProfileNothingWhereAPlanWasGiven) {
  Step(0);
  ProfiledStep(1);
  for (int step = 2; step < 6; ++step) Step(step);
  StartAgain();
  Step(0);
  EXPECT_EQ(runtime_->Stats().matched, 0) << "the first step allocates what lives on, and runs by demand as it did";
  ProfiledStep(1);
  for (int step = 2; step < 6; ++step) Step(step);
  const runtime::RuntimeStats stats = runtime_->Stats();
  EXPECT_EQ(stats.profiles, 0);
  EXPECT_EQ(stats.matched, 5 * kLayers + 4) << "all outputs, and all inputs but that before the first placed layer";
  EXPECT_EQ(stats.mismatched, 0);
}

TEST_F(Hooks, ProfileAnewWhereStepsDrift) {
  Step(0);
  ProfiledStep(1);
  for (int step = 2; step < 4; ++step) Step(step);
  EXPECT_GT(runtime_->Stats().matched, 0);
  count_ = kCount / 2;
  for (int step = 4; step < 8; ++step) Step(step);
  ExpectFourMatchedSteps(8, /*profiles=*/2);
}

TEST_F(Hooks, ProfileAnewWhereStepsDriftAfterTheirLastMark) {
  tail_ = 3;
  Step(0);
  ProfiledStep(1);
  for (int step = 2; step < 4; ++step) Step(step);
  EXPECT_EQ(runtime_->Stats().mismatched, 0);
  tail_bytes_ = KiB(96);
  for (int step = 4; step < 8; ++step) Step(step);
  ExpectFourMatchedSteps(8, /*profiles=*/2);
}

TEST_F(Hooks, ProfileAnewWhereTheBudgetChanges) {
  Step(0);
  ProfiledStep(1);
  for (int step = 2; step < 4; ++step) Step(step);
  ASSERT_TRUE(runtime_->SetBudget(MiB(1)).ok());
  for (int step = 4; step < 7; ++step) Step(step);
  EXPECT_EQ(runtime_->Stats().profiles, 2);
  EXPECT_LE(runtime_->current_shape()->plan->budget, MiB(1));
  EXPECT_EQ(runtime_->Stats().mismatched, 0) << "the step is the same";
}

TEST_F(Hooks, TheLastLayerLastsUntilTheNextStepBegins) {
  last_layer_ = std::chrono::milliseconds(20);
  ProfiledStep(0);
  for (int step = 1; step < 9; ++step) Step(step);
  ASSERT_EQ(runtime_->Stats().replans, 2) << "with the layers' times in placed steps";
  const runtime::Shape& shape = *runtime_->current_shape();
  const double seconds = shape.profile.layers.back().seconds;
  EXPECT_GT(seconds, 0.019);
  EXPECT_DOUBLE_EQ(runtime_->Record().steps.back().predicted_seconds, shape.plan->predicted_seconds - seconds)
      << "a step is over for us where that layer begins";
}

TEST_F(Hooks, RunTheFirstStepByAGivenPlanWhereItWasTheProfiledOne) {
  ProfiledStep(0);
  Step(1);
  StartAgain();
  ProfiledStep(0);
  EXPECT_EQ(runtime_->Stats().matched, kLayers);
  EXPECT_EQ(runtime_->Stats().profiles, 0);
}

TEST_F(Hooks, ProfileTheStepAfterOneThatAGivenPlanDidNotFit) {
  for (const auto& [layers, count] : {std::pair(kLayers - 2, kCount), {kLayers + 2, kCount}, {kLayers, kCount / 2}}) {
    runtime_ = SmallRuntime();
    layers_ = kLayers;
    count_ = kCount;
    Step(0);
    ProfiledStep(1);
    StartAgain();
    layers_ = layers;
    count_ = count;
    Step(0);
    ProfiledStep(1);
    EXPECT_EQ(runtime_->Stats().profiles, 0);
    Step(2);
    const runtime::RuntimeStats before = runtime_->Stats();
    EXPECT_EQ(before.profiles, 1);
    for (int step = 3; step < 7; ++step) Step(step);
    const runtime::RuntimeStats stats = runtime_->Stats();
    EXPECT_EQ(stats.profiles, 1);
    EXPECT_EQ(stats.matched - before.matched, 4 * layers + 3) << layers << " layers of " << count;
    EXPECT_EQ(stats.mismatched, before.mismatched);
  }
}

TEST_F(Hooks, ProfileAStepAnewWhereTheProgramGoesOnWithAnotherBatch) {
  Step(0);
  ProfiledStep(1);
  for (int step = 2; step < 5; ++step) Step(step);
  count_ = kCount / 2;
  Step(5);
  const runtime::RuntimeStats before = runtime_->Stats();
  EXPECT_EQ(before.profiles, 2);
  EXPECT_EQ(before.mismatched, 1) << "its input, which comes before its first mark and tells";
  for (int step = 6; step < 10; ++step) Step(step);
  const runtime::RuntimeStats stats = runtime_->Stats();
  EXPECT_EQ(stats.profiles, 2);
  EXPECT_EQ(stats.matched - before.matched, 4 * kLayers + 3) << "all but the input before the first placed layer";
  EXPECT_EQ(stats.mismatched, before.mismatched);
}

// Nobody says where such steps end.
TEST_F(Hooks, ProfileEverMoreRarelyWhereNoProfileHelps) {
  Step(0);
  ProfiledStep(1);
  layers_ = kLayers + 3;
  for (int step = 2; step < 66; ++step) {
    if (step % 2 == 0) count_ = kCount / 2 + 1024 * step;  // and no two are alike
    Step(step);
  }
  const int64_t profiles = runtime_->Stats().profiles;
  EXPECT_GE(profiles, 3);
  EXPECT_LE(profiles, 8);
  layers_ = kLayers;
  ProfiledStep(66);
  const int64_t before = runtime_->Stats().matched;
  Step(67);
  EXPECT_EQ(runtime_->Stats().matched - before, kLayers) << "start_profile says it";
}

TEST_F(Hooks, MayMarkTheStepThatIsProfiledAsAGivenPlanDidNotFit) {
  Step(0);
  ProfiledStep(1);
  StartAgain();
  count_ = kCount / 2;
  Step(0);
  ProfiledStep(1);
  ASSERT_TRUE(runtime_->AddLayer("of a step that is profiled unasked, and broken off").ok());
  EXPECT_EQ(runtime_->Stats().profiles, 1);
  ProfiledStep(2);
  EXPECT_EQ(runtime_->Stats().profiles, 2);
  EXPECT_FALSE(runtime_->current_shape()->given) << "end_profile has made a plan";
  const int64_t before = runtime_->Stats().matched;
  Step(3);
  EXPECT_EQ(runtime_->Stats().matched - before, kLayers);
}

TEST_F(Hooks, ProfileNoMarkedStepWhereAPlanWasGiven) {
  for (int step = 0; step < 4; ++step) MarkedStep(step);
  StartAgain();
  MarkedStep(0);
  ASSERT_TRUE(runtime_->StartProfile().ok());
  MarkedStep(1);
  ASSERT_TRUE(runtime_->EndProfile().ok());
  MarkedStep(2);
  EXPECT_EQ(runtime_->Stats().profiles, 0);
  EXPECT_EQ(runtime_->Stats().matched, 2 * (kLayers + 1));
  count_ = kCount / 2;
  MarkedStep(3);
  MarkedStep(4);
  EXPECT_EQ(runtime_->Stats().profiles, 1) << "another step, and so profiled";
}

TEST_F(Hooks, TheProfileAndThePlanCountAsBookkeeping) {
  Step(0);
  ASSERT_TRUE(runtime_->StartProfile().ok());
  Step(1);
  const Bytes before = runtime_->Stats().metadata;
  ASSERT_TRUE(runtime_->EndProfile().ok());
  const runtime::Shape& shape = *runtime_->current_shape();
  const size_t least =
      shape.profile.tensors.size() * sizeof(profile::Tensor) + shape.profile.layers.size() * sizeof(profile::Layer) +
      shape.plan->placements.size() * sizeof(plan::Placement) + shape.plan->layers.size() * sizeof(plan::LayerActions);
  ASSERT_GT(least, 2000u);
  EXPECT_GE(runtime_->Stats().metadata - before, Bytes(static_cast<int64_t>(least)));
}

TEST_F(Hooks, SayWhatIsOutOfOrder) {
  EXPECT_EQ(runtime_->EndProfile().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(runtime_->AddLayer("before any profile").ok());
  EXPECT_TRUE(runtime_->StartProfile().ok());
  EXPECT_EQ(runtime_->StartProfile().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(runtime_->EndProfile().ok());
}

}  // namespace
}  // namespace thermocline

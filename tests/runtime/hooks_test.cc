// The paper's three hooks, as its users write them: profiled step first, then add_layer alone.
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "src/runtime/runtime.h"

namespace thermocline {
namespace {

constexpr int kLayers = 8;
constexpr int64_t kCount = 64 * 1024;  // of ints: four granules a tensor

std::unique_ptr<runtime::Runtime> SmallRuntime() {
  runtime::RawSettings raw;
  raw.fast = "2MiB";
  raw.slow = "emulated:in=2GB/s,out=2GB/s";
  raw.granule_bytes = KiB(64).count();
  return *runtime::Runtime::Create(*ReadSettings(raw, [](const char*) { return std::nullopt; }));
}

class Hooks : public ::testing::Test {
 protected:
  int* New() { return static_cast<int*>(runtime_->Allocate(Bytes(kCount * sizeof(int)), Bytes(64))); }
  void Delete(int* tensor) { EXPECT_TRUE(runtime_->Free(tensor)); }

  // A step with its input born before the first add_layer and freed after the last.
  void Step(int step) {
    int* input = New();
    std::iota(input, input + kCount, step);
    std::vector<int*> saved = {input};
    for (int layer = 0; layer < kLayers; ++layer) {
      ASSERT_TRUE(runtime_->AddLayer("").ok());
      int* output = New();
      for (int64_t i = 0; i < kCount; ++i) output[i] = saved.back()[i] + 1;
      saved.push_back(output);
    }
    for (int layer = 0; layer <= kLayers; ++layer) {
      for (int64_t i = 0; i < kCount; ++i) ASSERT_EQ(saved[layer][i], i + step + layer);
    }
    for (int* tensor : saved) Delete(tensor);
  }

  std::unique_ptr<runtime::Runtime> runtime_ = SmallRuntime();
};

TEST_F(Hooks, ATensorThatOutlivesEveryLayerOfItsStepIsPlacedLikeTheOthers) {
  Step(0);
  ASSERT_TRUE(runtime_->StartProfile().ok());
  Step(1);
  const absl::Status profiled = runtime_->EndProfile();
  ASSERT_TRUE(profiled.ok()) << profiled;
  for (int step = 2; step < 8; ++step) Step(step);
  const runtime::RuntimeStats stats = runtime_->Stats();
  EXPECT_GE(stats.matched, 5 * (kLayers + 1));
  EXPECT_LE(stats.mismatched, kLayers + 1) << "only what precedes the first mark of a placed step may miss its place";
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

// A link whose speed changes while steps run by a plan.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/base/median.h"
#include "src/runtime/runtime.h"
#include "src/tier/emulated_tier.h"
#include "src/trace/trace_file.h"
#include "tests/runtime/network_on_runtime.h"

namespace thermocline::runtime {
namespace {

constexpr BytesPerSecond kFastLink(1e9), kSlowLink(0.25e9);
constexpr int kPlannedAlready = 2;  // of measured layer times, before any drift is looked for

class Replan : public ::testing::Test {
 protected:
  static constexpr int kLayers = 16;
  static constexpr int kGranules = 16;  // a weight; each second layer has one

  void SetUp() override { Start(""); }
  // `profile`: a file that is given; "": none.
  void Start(const std::string& profile) {
    Settings settings = SmallSettings("emulated:in=1GB/s,out=1GB/s", MiB(6), "lookahead");
    settings.link.emplace();
    settings.link->in = settings.link->out = kFastLink;
    settings.profile_in = profile;
    tier::EmulatedTierOptions options;
    options.granule_bytes = kNetworkGranule;
    options.in = options.out = kFastLink;
    auto tier = *tier::EmulatedTier::Create(options);
    tier_ = tier.get();
    runtime_ = *Runtime::CreateOn(settings, std::move(tier));
    for (int i = 0; i < kLayers / 2; ++i) {
      const Bytes bytes = kNetworkGranule * kGranules;
      weights_.push_back(static_cast<unsigned char*>(runtime_->Allocate(bytes, Bytes(64))));
      std::memset(weights_.back(), i + 1, bytes.count());
    }
  }
  void TearDown() override { End(); }
  void End() {
    for (unsigned char* weight : weights_) EXPECT_TRUE(runtime_->Free(weight));
    weights_.clear();
    EXPECT_EQ(wrong_, 0);
    EXPECT_EQ(runtime_->Stats().mismatched, 0);
    runtime_.reset();
  }

  void SetSpeed(BytesPerSecond rate) { tier_->SetSpeed(rate, rate); }

  // Layers sleep as if they computed: then it takes them no longer when others need the processor.
  void Step(int step) {
    ASSERT_TRUE(runtime_->BeginStep().ok());
    std::vector<unsigned char*> saved;
    for (int layer = 0; layer < kLayers; ++layer) {
      ASSERT_TRUE(runtime_->AddLayer("").ok());
      saved.push_back(static_cast<unsigned char*>(runtime_->Allocate(kNetworkGranule, Bytes(64))));
      std::memset(saved.back(), step + layer, kNetworkGranule.count());
      if (layer % 2 == 0) Count(weights_[layer / 2], kNetworkGranule * kGranules, layer / 2 + 1);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    for (int layer = 0; layer < kLayers; ++layer) {
      Count(saved[layer], kNetworkGranule, step + layer);
      EXPECT_TRUE(runtime_->Free(saved[layer]));
    }
    ASSERT_TRUE(runtime_->EndStep().ok());
  }
  void Steps(int count) {
    for (int i = 0; i < count; ++i) Step(step_++);
  }
  // One byte of each page.
  void Count(const unsigned char* begin, Bytes bytes, int fill) {
    for (int64_t i = 0; i < bytes.count(); i += 512) wrong_ += begin[i] != static_cast<unsigned char>(fill);
  }

  int64_t replans() const { return runtime_->Stats().replans - kPlannedAlready; }
  std::shared_ptr<const plan::MigrationPlan> plan() const { return runtime_->current_shape()->plan; }
  // Median of the last `count` steps' waits.
  double Exposed(int count) const {
    const RunRecord record = runtime_->Record();
    std::vector<double> exposed;
    for (size_t i = record.steps.size() - count; i < record.steps.size(); ++i) {
      exposed.push_back(record.steps[i].exposed_seconds);
    }
    return Median(exposed);
  }

  tier::EmulatedTier* tier_ = nullptr;
  std::unique_ptr<Runtime> runtime_;
  std::vector<unsigned char*> weights_;
  int64_t wrong_ = 0;
  int step_ = 0;
};

// Layers between a fetch's start and its deadline, over all fetches.
double MeanLead(const plan::MigrationPlan& plan) {
  const int64_t layers = std::ssize(plan.layers);
  int64_t sum = 0, count = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (const plan::Fetch& fetch : plan.layers[layer].fetch) {
      sum += (fetch.deadline.value() - layer + layers) % layers;
      ++count;
    }
  }
  return static_cast<double>(sum) / static_cast<double>(std::max<int64_t>(1, count));
}

TEST_F(Replan, ASteadyLinkIsPlannedForOnce) {
  Steps(70);
  EXPECT_EQ(replans(), 0);
}

TEST_F(Replan, ALinkThatBecomesSlowerIsPlannedForOnceWithEarlierFetches) {
  Steps(30);
  ASSERT_EQ(replans(), 0);
  const auto before = plan();
  SetSpeed(kSlowLink);
  Steps(2);
  const double waited = Exposed(2);
  Steps(38);
  EXPECT_EQ(replans(), 1);
  const auto after = plan();
  EXPECT_NE(before, after) << "it was not taken back";
  EXPECT_LT(Exposed(10), waited);
  EXPECT_GT(MeanLead(*after), MeanLead(*before) + 0.5);
  ASSERT_EQ(before->placements.size(), after->placements.size());
  for (size_t i = 0; i < before->placements.size(); ++i) {
    EXPECT_EQ(before->placements[i].offset, after->placements[i].offset) << "places stay, as tensors live there";
  }
}

TEST_F(Replan, AStepOfAGivenProfileIsPlannedForAgainAsAProfiledOneIs) {
  Steps(3);
  const std::string file = ::testing::TempDir() + "replan_test_" + std::to_string(getpid()) + ".json";
  ASSERT_TRUE(trace::WriteTrace(file, runtime_->CopyShape()->profile).ok());
  End();
  Start(file);
  std::filesystem::remove(file);
  const auto given = plan();
  Steps(30);
  EXPECT_EQ(replans(), 0) << "but twice, by times that placed steps took";
  const auto before = plan();
  EXPECT_NE(given, before);
  SetSpeed(kSlowLink);
  Steps(2);
  const double waited = Exposed(2);
  Steps(38);
  EXPECT_EQ(replans(), 1);
  EXPECT_NE(plan(), before) << "it was not taken back";
  EXPECT_LT(Exposed(10), waited);
  EXPECT_EQ(runtime_->Stats().profiles, 0);
}

TEST_F(Replan, ALinkThatIsNotAsFastAsAtStartIsPlannedForAfterTwoPlacedSteps) {
  SetSpeed(kSlowLink);
  Steps(2);  // by demand, profiled
  EXPECT_EQ(runtime_->current_shape()->link_pace, 1);
  Steps(2);
  EXPECT_NEAR(runtime_->current_shape()->link_pace, 0.25, 0.1);
  Steps(36);
  EXPECT_EQ(replans(), 0) << "that was planned for already";
  EXPECT_NEAR(runtime_->current_shape()->link_pace, 0.25, 0.1);
}

TEST_F(Replan, ALinkThatIsAnotherOneInEachStepCostsFewPlans) {
  constexpr int kSteps = 100;
  for (int step = 0; step < kSteps; ++step) {
    SetSpeed(step % 2 == 0 ? kFastLink : kSlowLink);
    Steps(1);
  }
  EXPECT_LE(replans(), std::log2(kSteps));
}

}  // namespace
}  // namespace thermocline::runtime

// The interval planner's two ends of an interval are tried in real steps, and the faster stays.
#include "src/runtime/trial.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "src/runtime/runtime.h"
#include "tests/runtime/network_on_runtime.h"

namespace thermocline::runtime {
namespace {

constexpr char kWait[] = "interval";
constexpr char kInPlace[] = "interval, in place";

TEST(Trial, KeepsTheFasterWhicheverCameFirst) {
  for (const int faster : {0, 1}) {
    Trial trial(2);
    // The first step of each counts for nothing, however fast or slow it was.
    EXPECT_FALSE(trial.OnStep(faster == 0 ? 99 : 0.1));
    EXPECT_EQ(trial.current(), 0);
    EXPECT_TRUE(trial.OnStep(faster == 0 ? 1 : 2));
    EXPECT_EQ(trial.current(), 1);
    EXPECT_FALSE(trial.OnStep(faster == 1 ? 99 : 0.1));
    EXPECT_FALSE(trial.decided());
    EXPECT_EQ(trial.OnStep(faster == 1 ? 1 : 2), faster == 0) << "the worse one gives way at once";
    EXPECT_TRUE(trial.decided());
    EXPECT_EQ(trial.current(), faster);
    EXPECT_FALSE(trial.OnStep(1000)) << "it was chosen and stays";
    EXPECT_EQ(trial.current(), faster);
  }
}

TEST(Trial, OfEqualsTheFirstStaysAndOneNeedsNone) {
  Trial trial(2);
  for (int step = 0; step < 4; ++step) trial.OnStep(1);
  EXPECT_EQ(trial.current(), 0);
  EXPECT_TRUE(Trial().decided());
  EXPECT_FALSE(Trial().OnStep(1));
}

TEST(Trial, TakesTheMedianWhereStepsAreTimedSeveralTimesAndAgainstWhatHasRunAlready) {
  for (const double second : {1.9, 2.1}) {
    Trial trial = Trial::After(2, 3);
    EXPECT_EQ(trial.current(), 1);
    for (const double seconds : {99.0, 99.0, second}) EXPECT_FALSE(trial.OnStep(seconds));
    EXPECT_FALSE(trial.decided());
    EXPECT_EQ(trial.OnStep(0), second > 2);
    EXPECT_TRUE(trial.decided());
    EXPECT_EQ(trial.current(), second > 2 ? 0 : 1);
  }
}

// ---------------------------------------------------------------------------------------------------------------------

// The steps of a run, after the one by demand, the profiled one and the two whose layer times make the plans that are
// tried.
struct Tried {
  StepRecord wait, in_place;
  std::vector<std::string> kept;
};

Tried TrialOf(const RunRecord& record) {
  Tried tried;
  EXPECT_GE(record.steps.size(), 10);
  if (record.steps.size() < 10) return tried;
  EXPECT_EQ(record.steps[0].planner, "");
  EXPECT_TRUE(record.steps[1].profiled);
  for (const int step : {2, 3, 4, 5}) EXPECT_EQ(record.steps[step].planner, kWait) << step;
  for (const int step : {6, 7}) EXPECT_EQ(record.steps[step].planner, kInPlace) << step;
  tried.wait = record.steps[5];
  tried.in_place = record.steps[7];
  for (size_t step = 8; step < record.steps.size(); ++step) tried.kept.push_back(record.steps[step].planner);
  return tried;
}

void ExpectKept(const Tried& tried) {
  const std::string faster = tried.in_place.seconds < tried.wait.seconds ? kInPlace : kWait;
  for (const std::string& planner : tried.kept) {
    EXPECT_EQ(planner, faster) << "waiting took " << tried.wait.seconds << " s, in place " << tried.in_place.seconds;
  }
}

class LiveTrial : public ::testing::TestWithParam<const char*> {};

TEST_P(LiveTrial, RunsBothAndKeepsTheFasterWithTheSameLosses) {
  const std::vector<int> scales(12, 1);
  auto runtime = Runtime::Create(SmallSettings(GetParam(), MiB(2), "interval"));
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  EXPECT_EQ(Losses(On(**runtime), scales), Losses(OnMalloc(), scales));
  ExpectKept(TrialOf((*runtime)->Record()));
  EXPECT_LE((*runtime)->Stats().residency.peak_frames * kNetworkGranule, MiB(2));
  EXPECT_EQ((*runtime)->Stats().mismatched, 0);
}

INSTANTIATE_TEST_SUITE_P(Tiers, LiveTrial,
                         ::testing::Values("emulated:in=2GB/s,out=2GB/s,addressable=yes", "file:/var/tmp"),
                         [](const auto& test) { return std::string(test.param).substr(0, 4); });

// Steps of layers that have a weight each. Together they need several times the fast memory; each step tells, of each
// granule, how many bytes differ from what was written to it at the beginning.
class Weights {
 public:
  static constexpr int kLayers = 8;
  static constexpr int kGranules = 8;  // a weight

  explicit Weights(Runtime& runtime) : runtime_(runtime) {
    for (int layer = 0; layer < kLayers; ++layer) {
      const Bytes bytes = kNetworkGranule * kGranules;
      weights_.push_back(static_cast<char*>(runtime.Allocate(bytes, Bytes(64))));
      std::memset(weights_.back(), layer + 1, bytes.count());
    }
  }
  ~Weights() {
    for (char* weight : weights_) EXPECT_TRUE(runtime_.Free(weight));
  }

  // Reads so many granules of each weight.
  void Step(int granules) {
    ASSERT_TRUE(runtime_.BeginStep().ok());
    for (int layer = 0; layer < kLayers; ++layer) {
      ASSERT_TRUE(runtime_.AddLayer("").ok());
      for (int64_t i = 0; i < kNetworkGranule.count() * granules; ++i) wrong_ += weights_[layer][i] != layer + 1;
    }
    ASSERT_TRUE(runtime_.EndStep().ok());
  }
  int64_t wrong() const { return wrong_; }

 private:
  Runtime& runtime_;
  std::vector<char*> weights_;
  int64_t wrong_ = 0;
};

// Each transfer takes long, and many can be under way at once: waiting for all of a layer's, which start together, is
// several times faster than meeting them one by one.
TEST(LiveTrialOutcome, WhereTouchesWaitOneByOneWaitingForAllStays) {
  auto runtime =
      Runtime::Create(SmallSettings("emulated:in=4GB/s,out=4GB/s,latency=3ms,addressable=yes", MiB(1), "interval"));
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  Weights weights(**runtime);
  for (int step = 0; step < 11; ++step) weights.Step(Weights::kGranules);
  const Tried tried = TrialOf((*runtime)->Record());
  EXPECT_LT(tried.wait.seconds, tried.in_place.seconds);
  EXPECT_EQ(tried.wait.bytes_out, Bytes(0)) << "what is only read leaves without being written out";
  for (const std::string& planner : tried.kept) EXPECT_EQ(planner, kWait);
  EXPECT_EQ(weights.wrong(), 0);
}

// What the profiled step touched is not touched later (a mixture of experts, say): who waits for it waits for
// nothing.
TEST(LiveTrialOutcome, WhereWaitingIsForNothingItIsNotKept) {
  auto runtime = Runtime::Create(SmallSettings("emulated:in=200MB/s,out=200MB/s,addressable=yes", MiB(1), "interval"));
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  Weights weights(**runtime);
  for (int step = 0; step < 11; ++step) weights.Step(step < 2 ? Weights::kGranules : 0);
  const Tried tried = TrialOf((*runtime)->Record());
  EXPECT_LT(tried.in_place.seconds, tried.wait.seconds);
  EXPECT_LT(tried.in_place.exposed_seconds, 1e-3) << "nothing is touched, so nobody waits";
  for (const std::string& planner : tried.kept) EXPECT_EQ(planner, kInPlace);
  EXPECT_EQ(weights.wrong(), 0);
}

}  // namespace
}  // namespace thermocline::runtime

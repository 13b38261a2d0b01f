#include "gtest/gtest.h"
#include "src/plan/interval_planner.h"
#include "src/plan/make_planner.h"
#include "src/plan/replay.h"
#include "tests/plan/plan_checker.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

// Four layers of 1, 2, 3 and 4 seconds; four weights of one granule, each read in the layer of its number, weight 0
// again in layer 3. The link moves one granule a second.
class IntervalFormulaTest : public ::testing::Test {
 protected:
  IntervalFormulaTest() {
    timeline_.layers = 4;
    for (int g = 0; g < 4; ++g) {
      GranuleLife life;
      life.granule = GranuleId(g);
      life.always_live = true;
      life.uses.push_back({.layer = g, .read = true, .live_before = true, .needs_content = true});
      if (g == 0) life.uses.push_back({.layer = 3, .read = true, .live_before = true, .needs_content = true});
      timeline_.granules.push_back(life);
    }
  }
  std::vector<IntervalScore> Score(int room, double rate) {
    return ScoreIntervals(timeline_, {1, 2, 3, 4}, MiB(2), MiB(2) * room, BytesPerSecond(rate * MiB(2).count()));
  }
  GranuleTimeline timeline_;
};

TEST_F(IntervalFormulaTest, SpaceIsTheIntervalThatUsesMost) {
  const std::vector<IntervalScore> scores = Score(3, 1);
  ASSERT_EQ(scores.size(), 4);
  EXPECT_EQ(scores[0].largest, MiB(4));  // layer 3: weights 0 and 3
  EXPECT_EQ(scores[1].largest, MiB(6));  // layers 2 and 3: weights 0, 2, 3
  EXPECT_EQ(scores[2].largest, MiB(6));  // layers 0 to 2
  EXPECT_EQ(scores[3].largest, MiB(8));
  EXPECT_TRUE(scores[2].fits_space);
  EXPECT_FALSE(scores[3].fits_space);
}

TEST_F(IntervalFormulaTest, TimeIsTheIntervalBeforeInWhichTheFetchesRun) {
  // MIL 1: layer 0 fetches nothing (weight 0 is used in layer 3, just before), layer 1 one granule in 1 s, layer 2 one
  // in 2 s, layer 3 two in 3 s.
  const std::vector<IntervalScore> fast = Score(4, 1);
  EXPECT_TRUE(fast[0].fits_time);
  EXPECT_DOUBLE_EQ(fast[0].exposed_seconds, 0);
  // At half the rate: layer 1 two seconds in 1 s, layer 2 two in 2 s, layer 3 four in 3 s.
  const std::vector<IntervalScore> slow = Score(4, 0.5);
  EXPECT_FALSE(slow[0].fits_time);
  EXPECT_DOUBLE_EQ(slow[0].exposed_seconds, 2);
}

TEST_F(IntervalFormulaTest, TheLeastExposedThatFitsIsChosen) {
  // With room for three granules at half the rate. MIL 2: the first interval fetches weight 1 (2 s in 7 s), the second
  // weights 2 and 3 (4 s in 3 s): 1 s exposed. MIL 3: the first fetches 1 and 2 (4 s in 4 s), the second 3 (2 s in 6
  // s).
  const std::vector<IntervalScore> scores = Score(3, 0.5);
  EXPECT_DOUBLE_EQ(scores[1].exposed_seconds, 1);
  EXPECT_DOUBLE_EQ(scores[2].exposed_seconds, 0);
  EXPECT_EQ(ChooseInterval(scores).interval_layers, 3);
}

TEST_F(IntervalFormulaTest, WhereNothingFitsTheLeastSpaceIsChosen) {
  EXPECT_EQ(ChooseInterval(Score(1, 1)).interval_layers, 1);
}

TEST(IntervalPlannerTest, UsingInPlaceBringsNothingThatDidNotArrive) {
  const profile::Profile net = ConvNet();
  PlannerInput input;
  input.profile = &net;
  input.machine = OneTier(8e9);
  input.machine.slow[0].byte_addressable = true;
  input.budget = Bytes(net.peak_bytes.count() / 8);  // too little for all prefetches
  const auto wait = IntervalPlanner({EndOfInterval::kWait, 4}).Plan(input);
  const auto in_place = IntervalPlanner({EndOfInterval::kUseInPlace, 4}).Plan(input);
  ASSERT_TRUE(wait.ok() && in_place.ok());
  EXPECT_EQ(wait->interval_layers, 4);
  for (size_t l = 0; l < in_place->layers.size(); ++l) {
    for (const Fetch& fetch : in_place->layers[l].fetch) EXPECT_NE(fetch.deadline.value(), static_cast<int>(l));
  }
  EXPECT_LT(in_place->predicted_in, wait->predicted_in);
}

// A plan that doesn't wait leaves what has not arrived to the touch that finds it missing.
TEST(IntervalPlannerTest, OnABlockTierWhatIsNotWaitedForComesByDemand) {
  const profile::Profile net = ConvNet();
  PlannerInput input;
  input.profile = &net;
  input.machine = OneTier(1.5e9);
  input.budget = Bytes(net.peak_bytes.count() / 8);  // too little for all prefetches
  const auto wait = IntervalPlanner({EndOfInterval::kWait, 4}).Plan(input);
  const auto in_place = IntervalPlanner({EndOfInterval::kUseInPlace, 4}).Plan(input);
  ASSERT_TRUE(wait.ok() && in_place.ok());
  EXPECT_TRUE(wait->waits);
  EXPECT_FALSE(in_place->waits);
  EXPECT_EQ(in_place->planner, "interval, in place");
  const auto waited = Replay(net, input.machine, *wait);
  const auto demanded = Replay(net, input.machine, *in_place);
  ASSERT_TRUE(waited.ok() && demanded.ok());
  EXPECT_EQ(waited->demand_fetches, 0);
  EXPECT_GT(demanded->demand_fetches, 0);
  const absl::Status checked = CheckFrames(net, *in_place);
  EXPECT_TRUE(checked.ok()) << checked;
}

TEST(IntervalPlannerTest, InARunningProgramBothEndsOfAnIntervalAreTried) {
  const auto planners = MakeTrialPlanners("interval");
  ASSERT_TRUE(planners.ok());
  ASSERT_EQ(planners->size(), 2);
  EXPECT_EQ((*planners)[0]->name(), "interval");
  EXPECT_EQ((*planners)[1]->name(), "interval, in place");
  EXPECT_EQ(MakeTrialPlanners("lookahead")->size(), 1);
  EXPECT_FALSE(MakeTrialPlanners("astrology").ok());
}

}  // namespace
}  // namespace thermocline::plan

// When steps take other times than their plan was made for, and what planning again may cost.
#include "src/runtime/time_drift.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace thermocline::runtime {
namespace {

using Action = TimeDrift::Action;

constexpr int kLayers = 4;
constexpr double kLayerSeconds = 0.1;

// What steps take now.
struct Times {
  std::vector<double> layers = std::vector<double>(kLayers, kLayerSeconds);
  double exposed = 0;
  double pace = 1;
};

class TimeDriftTest : public ::testing::Test {
 protected:
  void SetUp() override { drift_.OnPlan({Times().layers, 1}, std::vector<double>(kLayers, 0.0), 0, /*tried=*/false); }

  Action Step(const Times& times) {
    double seconds = times.exposed;
    for (const double layer : times.layers) seconds += layer;
    return drift_.OnStep({seconds, times.exposed, times.layers, times.pace});
  }
  // Goes through so many steps. A plan that is wanted is made, and expects what is; others are counted.
  int Plans(int steps, const Times& times) {
    int plans = 0;
    for (int i = 0; i < steps; ++i) plans += PlansOf(times);
    return plans;
  }
  int PlansOf(const Times& times) {
    const Action action = Step(times);
    if (action == Action::kTakeBack) ++taken_back_;
    if (action != Action::kPlan) return 0;
    Plan();
    return 1;
  }
  void Plan() {
    const double exposed = drift_.measured().link_pace < 0.5 ? slow_exposed_ : 0;
    drift_.OnPlan(drift_.measured(), std::vector<double>(kLayers, exposed / kLayers), planning_seconds_,
                  /*tried=*/true);
  }

  TimeDrift drift_;
  double planning_seconds_ = 0;
  double slow_exposed_ = 0;  // what a plan for a slow link expects
  int taken_back_ = 0;
};

TEST_F(TimeDriftTest, StepsThatAreAsPlannedWantNothing) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> noise(0.9, 1.1);
  for (int step = 0; step < 1000; ++step) {
    Times times;
    for (double& layer : times.layers) layer *= noise(random);
    times.pace = noise(random);
    EXPECT_EQ(Step(times), Action::kNone);
  }
}

TEST_F(TimeDriftTest, ASlowerLinkThatShowsWantsOnePlanForItsSpeed) {
  EXPECT_EQ(Plans(100, {}), 0);
  EXPECT_EQ(Plans(2 * TimeDrift::kWindow, {.exposed = 0.2, .pace = 0.25}), 1);
  EXPECT_DOUBLE_EQ(drift_.measured().link_pace, 0.25);
  EXPECT_EQ(Plans(1000, {.pace = 0.25}), 0) << "the plan has helped";
  EXPECT_EQ(taken_back_, 0);
}

TEST_F(TimeDriftTest, ASlowerLinkThatHidesWantsNothing) { EXPECT_EQ(Plans(100, {.pace = 0.25}), 0); }

TEST_F(TimeDriftTest, WaitsThatNoOtherTimesExplainWantNothing) {
  EXPECT_EQ(Plans(100, {.exposed = 0.2}), 0) << "from the same a planner makes the same plan";
  EXPECT_EQ(Plans(100, {.exposed = 0.2, .pace = 0}), 0) << "and so where nothing is known of the link";
}

TEST_F(TimeDriftTest, OtherLayerTimesWantAPlanForThem) {
  Times times;
  times.layers = {kLayerSeconds, 3 * kLayerSeconds, kLayerSeconds, kLayerSeconds};
  EXPECT_EQ(Plans(TimeDrift::kWindow, times), 1);
  EXPECT_EQ(drift_.measured().layer_seconds, times.layers);
  EXPECT_EQ(Plans(100, times), 0);
}

TEST_F(TimeDriftTest, TwoOddStepsOfFiveAreNoDrift) {
  for (int step = 0; step < 1000; ++step) {
    EXPECT_EQ(Step(step % 5 < 2 ? Times{.exposed = 2, .pace = 0.1} : Times()), Action::kNone);
  }
}

TEST_F(TimeDriftTest, AStepOfOtherLayersSaysNothing) {
  EXPECT_EQ(Plans(100, {.layers = {1, 1}, .exposed = 1, .pace = 0.25}), 0);
  EXPECT_EQ(Plans(100, {.layers = std::vector<double>(kLayers + 1, 1), .exposed = 1, .pace = 0.25}), 0);
  // Where steps are not marked, the last layer is not over.
  const std::vector<double> but_the_last(kLayers - 1, kLayerSeconds);
  EXPECT_EQ(Plans(100, {.layers = but_the_last}), 0);
  EXPECT_EQ(Plans(TimeDrift::kWindow, {.layers = but_the_last, .exposed = 0.2, .pace = 0.25}), 1);
  EXPECT_EQ(drift_.measured().layer_seconds, Times().layers) << "of the last layer nothing new is known";
}

TEST_F(TimeDriftTest, AWaitBeforeTheLastLayerIsAsPlannedThoughThatLayerIsNotOver) {
  drift_.OnPlan({Times().layers, 1}, {0, 0, 0, 0.2}, 0, /*tried=*/false);
  const std::vector<double> but_the_last(kLayers - 1, kLayerSeconds);
  EXPECT_EQ(Plans(100, {.layers = but_the_last, .exposed = 0.2, .pace = 0.25}), 0) << "as it hides";
}

TEST_F(TimeDriftTest, APlanThatIsSlowerIsTakenBackAndNotMadeAgainForTheSameTimes) {
  const Times slow_link{.exposed = 0.2, .pace = 0.25};
  ASSERT_EQ(Plans(TimeDrift::kWindow, slow_link), 1);
  for (int step = 0; step < TimeDrift::kWindow; ++step) EXPECT_EQ(Step({.exposed = 0.3, .pace = 0.25}), Action::kNone);
  EXPECT_EQ(Step({.exposed = 0.3, .pace = 0.25}), Action::kTakeBack);
  EXPECT_EQ(Plans(1000, slow_link), 0);
  EXPECT_EQ(taken_back_, 0) << "once was enough";
}

TEST_F(TimeDriftTest, APlanThatIsAboutAsFastStays) {
  const Times slow_link{.exposed = 0.2, .pace = 0.25};
  ASSERT_EQ(Plans(TimeDrift::kWindow, slow_link), 1);
  EXPECT_EQ(Plans(100, {.exposed = 0.21, .pace = 0.25}), 0);
  EXPECT_EQ(taken_back_, 0);
}

// Whatever the link does, n steps see at most log2(n) plans.
TEST_F(TimeDriftTest, PlansGetRarerHoweverTheTimesJump) {
  std::mt19937 random(1);
  slow_exposed_ = 0.3;
  for (const bool flips : {true, false}) {
    drift_ = TimeDrift();
    SetUp();
    int plans = 0;
    for (int step = 1; step <= 200000; ++step) {
      const bool slow = flips ? step % 2 == 0 : random() % 2 == 0;
      plans += PlansOf(slow ? Times{.exposed = 0.3, .pace = 0.25} : Times());
      ASSERT_LE(plans, std::log2(step)) << step;
    }
    EXPECT_GE(plans, 2) << "it does try";
  }
}

TEST_F(TimeDriftTest, PlanningTakesAtMostAHundredthOfTheTime) {
  planning_seconds_ = 5;
  slow_exposed_ = 0.3;
  drift_.OnPlan({Times().layers, 1}, std::vector<double>(kLayers, 0.0), planning_seconds_, /*tried=*/false);
  double seconds = 0, planning = 0;
  for (int step = 0; step < 100000; ++step) {
    const Times times = step / 7 % 2 == 0 ? Times{.exposed = 0.3, .pace = 0.25} : Times();
    seconds += kLayers * kLayerSeconds + times.exposed;
    planning += PlansOf(times) * planning_seconds_;
    ASSERT_LE(planning, 0.01 * seconds);
  }
  EXPECT_GE(planning, 2 * planning_seconds_);
}

TEST(TimeDrift, WantsNothingBeforeThereIsAPlan) {
  TimeDrift drift;
  const std::vector<double> layers(kLayers, 1.0);
  for (int step = 0; step < 20; ++step) EXPECT_EQ(drift.OnStep({4, 1, layers, 0.25}), Action::kNone);
}

}  // namespace
}  // namespace thermocline::runtime

// Planning must stay a matter of seconds for the largest steps: a running program waits for it.
#include <gtest/gtest.h>

#include <cstdio>
#include <ctime>

#include "src/plan/granule_timeline.h"
#include "src/plan/make_planner.h"
#include "src/plan/plan_parts.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr double kMostSeconds = 60;
#else
constexpr double kMostSeconds = 5;
#endif

// Plans the step, says how long that took, and expects it to be short.
void ExpectQuick(const char* what, const profile::Profile& net, double rate) {
  ASSERT_EQ(net.layers.size(), 2000);
  PlannerInput input;
  input.profile = &net;
  input.machine = OneTier(rate);
  input.budget = Bytes(net.peak_bytes.count() / 5);
  for (const char* name : {"lookahead", "interval"}) {
    const std::clock_t begin = std::clock();
    const absl::StatusOr<MigrationPlan> plan = (*MakePlanner(name))->Plan(input);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    ASSERT_TRUE(plan.ok()) << plan.status();
    const GranuleTimeline timeline = MakeTimeline(net, OffsetsOf(*plan, net), input.granule_bytes);
    std::printf("%s, %s: %zu granules, %zu layers: %.2f s of processor time; a step of %.3f s, %.3f s exposed\n", what,
                name, timeline.granules.size(), net.layers.size(), seconds, plan->predicted_seconds,
                plan->predicted_exposed_seconds);
    EXPECT_LT(seconds, kMostSeconds) << what << ", " << name;
  }
}

TEST(PlannerSpeed, AStepOfTwentyThousandTensorsAndTwoThousandLayersIsPlannedInSeconds) {
  const profile::Profile net = DeepNet(1000);
  ASSERT_EQ(net.tensors.size(), 20000);
  ExpectQuick("as fast as an SSD", net, 1.5e9);
  ExpectQuick("a slow link", net, 0.3e9);
}

TEST(PlannerSpeed, SoIsOneWhoseEveryLayerReadsTheSameTable) { ExpectQuick("a table", DeepNet(1000, MiB(256)), 1.5e9); }

}  // namespace
}  // namespace thermocline::plan

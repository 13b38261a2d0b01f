#include "src/simulate/simulate_step.h"

#include <gtest/gtest.h>

#include <numeric>

#include "src/plan/make_planner.h"
#include "src/trace/trace_file.h"

namespace thermocline::simulate {
namespace {

class SimulateStepTest : public ::testing::Test {
 protected:
  SimulateStepTest() : profile_(trace::ReadTrace(THERMOCLINE_FIXTURES "/traces/tiny_net.json").value().profile) {}

  StepPrediction Simulate(absl::string_view planner, Bytes budget, double rate) const {
    plan::Machine machine;
    plan::TierSpec ssd;
    ssd.name = "ssd";
    ssd.in = ssd.out = BytesPerSecond(rate);
    machine.slow.push_back(ssd);
    auto prediction = SimulateStep(profile_, **plan::MakePlanner(planner), machine, budget, MiB(1));
    EXPECT_TRUE(prediction.ok()) << prediction.status();
    return prediction.ok() ? *prediction : StepPrediction();
  }

  profile::Profile profile_;
};

TEST_F(SimulateStepTest, WithRoomForAllNothingMovesAndNothingWaits) {
  for (const absl::string_view planner : plan::PlannerNames()) {
    const StepPrediction step = Simulate(planner, MiB(128), 1e9);
    EXPECT_NEAR(step.seconds, 0.09, 1e-9) << planner;
    EXPECT_EQ(step.exposed_seconds, 0) << planner;
    EXPECT_EQ(step.bytes_in, Bytes(0)) << planner;
  }
}

TEST_F(SimulateStepTest, AStepTakesItsLayersAndItsWaits) {
  const StepPrediction step = Simulate("lru", MiB(48), 1e9);
  EXPECT_NEAR(step.seconds, step.compute_seconds + step.exposed_seconds, 1e-9);
  EXPECT_NEAR(std::accumulate(step.exposed_per_layer.begin(), step.exposed_per_layer.end(), 0.0), step.exposed_seconds,
              1e-9);
  EXPECT_GT(step.exposed_seconds, 0) << "least recently used first fetches by demand";
  EXPECT_GT(step.bytes_in, Bytes(0));
  EXPECT_LE(step.peak_fast, MiB(48));
}

TEST_F(SimulateStepTest, LookingAheadWaitsNoLongerThanDemandAndSlowerLinksWaitLonger) {
  EXPECT_LE(Simulate("lookahead", MiB(48), 1e9).seconds, Simulate("lru", MiB(48), 1e9).seconds);
  EXPECT_GT(Simulate("lru", MiB(48), 1e8).seconds, Simulate("lru", MiB(48), 1e9).seconds);
}

TEST_F(SimulateStepTest, AMachineWithoutBandwidthIsAnError) {
  const auto planner = plan::MakePlanner("lookahead");
  EXPECT_FALSE(SimulateStep(profile_, **planner, plan::Machine(), MiB(48), MiB(1)).ok());
}

}  // namespace
}  // namespace thermocline::simulate

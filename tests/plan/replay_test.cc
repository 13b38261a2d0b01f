#include "src/plan/replay.h"

#include "gtest/gtest.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

// Two layers of one second; weight 0 is read in layer 0, weight 1 in layer 1. One frame; a granule takes half a second.
class ReplayTest : public ::testing::Test {
 protected:
  ReplayTest() : weights_(2, 1), machine_(HalfASecondAGranule()) {}
  ReplayResult MustReplay() {
    const absl::StatusOr<ReplayResult> result = Replay(profile_, machine_, plan_);
    EXPECT_TRUE(result.ok()) << result.status();
    return *result;
  }
  WeightsInTurn weights_;
  Machine machine_;
  profile::Profile& profile_ = weights_.profile;
  MigrationPlan& plan_ = weights_.plan;
};

TEST_F(ReplayTest, WithoutAPlanEverythingComesByDemand) {
  const ReplayResult result = MustReplay();
  EXPECT_EQ(result.demand_fetches, 2);
  EXPECT_DOUBLE_EQ(result.seconds, 3);
  EXPECT_DOUBLE_EQ(result.exposed_seconds, 1);
  EXPECT_EQ(result.in, MiB(4));
  EXPECT_EQ(result.out, Bytes(0));  // nothing is written
  EXPECT_EQ(result.peak_frames, 1);
}

TEST_F(ReplayTest, WithAFrameMoreAPlanHidesTheFetches) {
  plan_.budget = MiB(4);
  // Room for both: after the first step nothing comes any more.
  EXPECT_EQ(MustReplay().in, Bytes(0));
}

TEST_F(ReplayTest, AFetchThatWasPlannedTooLateIsWaitedForAndNamed) {
  plan_.resident_at_start = {GranuleId(1)};
  for (uint32_t l = 0; l < 2; ++l) {
    plan_.layers[l].release = {GranuleId(1 - l)};
    plan_.layers[l].fetch = {{GranuleId(l), LayerId(static_cast<int32_t>(l))}};
    plan_.layers[l].need = {GranuleId(l)};
  }
  const ReplayResult result = MustReplay();
  EXPECT_EQ(result.demand_fetches, 0);
  EXPECT_EQ(result.late_fetches, 2);
  EXPECT_EQ(result.forced_evictions, 0);
  EXPECT_DOUBLE_EQ(result.exposed_per_layer[0], 0.5);
  EXPECT_DOUBLE_EQ(result.exposed_per_layer[1], 0.5);
}

TEST_F(ReplayTest, WhatIsWrittenIsWrittenBackBeforeItsFrameServesAnother) {
  profile_.tensors[0].accesses = {{.layer = LayerId(0), .read = true, .write = true}};
  const ReplayResult result = MustReplay();
  EXPECT_EQ(result.out, MiB(2));
  EXPECT_DOUBLE_EQ(result.exposed_seconds, 1.5);
}

TEST_F(ReplayTest, AnAddressableTierIsUsedInPlaceInstead) {
  machine_.slow[0].byte_addressable = true;
  plan_.resident_at_start = {GranuleId(0)};
  const ReplayResult result = MustReplay();
  EXPECT_EQ(result.in, Bytes(0));
  EXPECT_DOUBLE_EQ(result.exposed_seconds, 0.5);
}

TEST_F(ReplayTest, WhereNothingIsWaitedForALateFetchGivesWayToUseInPlace) {
  machine_.slow[0].byte_addressable = true;
  plan_.resident_at_start = {GranuleId(1)};
  for (uint32_t l = 0; l < 2; ++l) {
    plan_.layers[l].release = {GranuleId(1 - l)};
    plan_.layers[l].fetch = {{GranuleId(l), LayerId(static_cast<int32_t>(l))}};
    plan_.layers[l].need = {GranuleId(l)};
  }
  EXPECT_EQ(MustReplay().in, MiB(4));
  plan_.waits = false;
  const ReplayResult result = MustReplay();
  EXPECT_EQ(result.in, Bytes(0));
  EXPECT_EQ(result.late_fetches, 0);
  EXPECT_DOUBLE_EQ(result.exposed_seconds, 1) << "half a second each, over the link";
}

TEST_F(ReplayTest, APlanForAnotherProfileIsRefused) {
  plan_.layers.resize(3);
  EXPECT_TRUE(absl::IsInvalidArgument(Replay(profile_, machine_, plan_).status()));
  plan_.layers.resize(2);
  plan_.placements.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(Replay(profile_, machine_, plan_).status()));
}

}  // namespace
}  // namespace thermocline::plan

// What every planner promises, whatever its method. A planner's test file instantiates the suite with its name.
//
// The steps are a conv net and random ones; the budgets go from below the floor to above the peak.
#ifndef THERMOCLINE_TESTS_CONFORMANCE_PLANNER_CONFORMANCE_H_
#define THERMOCLINE_TESTS_CONFORMANCE_PLANNER_CONFORMANCE_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/plan/gaps.h"
#include "src/plan/make_planner.h"
#include "src/plan/plan_file.h"
#include "src/plan/plan_parts.h"
#include "src/plan/replay.h"
#include "tests/plan/plan_checker.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {

struct PlannerCase {
  const char* name;
  bool prefetches = false;  // promises that nothing needed is left to demand when the budget is over the floor
};

class PlannerConformance : public ::testing::TestWithParam<PlannerCase> {
 protected:
  static constexpr Bytes kGranule = KiB(256);

  MigrationPlan MustPlan(const PlannerInput& input) {
    absl::StatusOr<std::unique_ptr<Planner>> planner = MakePlanner(GetParam().name);
    EXPECT_TRUE(planner.ok()) << planner.status();
    absl::StatusOr<MigrationPlan> plan = (*planner)->Plan(input);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return *plan;
  }

  static PlannerInput Input(const profile::Profile& profile, Bytes budget, Bytes granule = kGranule) {
    PlannerInput input;
    input.profile = &profile;
    input.machine = OneTier(1.5e9);
    input.budget = budget;
    input.granule_bytes = granule;
    return input;
  }

  // Fast bytes that the layer which needs most granules needs.
  static Bytes GranuleFloor(const profile::Profile& profile, const MigrationPlan& plan) {
    const GranuleTimeline timeline = MakeTimeline(profile, OffsetsOf(plan, profile), plan.granule_bytes);
    const std::vector<int32_t> needed = NeededFrames(timeline);
    return plan.granule_bytes * *std::max_element(needed.begin(), needed.end());
  }

  static Bytes Footprint(const profile::Profile& profile, const MigrationPlan& plan) {
    const GranuleTimeline timeline = MakeTimeline(profile, OffsetsOf(plan, profile), plan.granule_bytes);
    return plan.granule_bytes * static_cast<int64_t>(timeline.granules.size());
  }

  // Budgets as shares of the peak, and the profiles that each test goes through.
  static std::vector<double> Shares() { return {0.05, 0.2, 0.35, 0.5, 0.8, 1.0}; }
  static std::vector<profile::Profile> Profiles() {
    // The net's activations are as many granules as the demo's are at 2 MiB.
    std::vector<profile::Profile> profiles = {ConvNet({.stage1_bytes = 25690112 / 8})};
    for (uint64_t seed = 1; seed <= 12; ++seed) profiles.push_back(RandomProfile(seed, 5 + 6 * (seed % 5), 60));
    return profiles;
  }
};

TEST_P(PlannerConformance, NoPlanExceedsItsBudgetAtAnyMoment) {
  for (const profile::Profile& profile : Profiles()) {
    for (const double share : Shares()) {
      for (const double rate : {0.3e9, 1.5e9, 20e9}) {
        PlannerInput input = Input(profile, Bytes(static_cast<int64_t>(profile.peak_bytes.count() * share)));
        input.machine = OneTier(rate, rate > 10e9);
        const MigrationPlan plan = MustPlan(input);
        const absl::Status checked = CheckFrames(profile, plan);
        EXPECT_TRUE(checked.ok()) << checked << " at " << share << " of the peak and " << rate << " bytes per second";
        const absl::StatusOr<ReplayResult> replay = Replay(profile, input.machine, plan);
        ASSERT_TRUE(replay.ok()) << replay.status();
        EXPECT_LE(replay->peak_frames, std::max<int64_t>(input.budget / input.granule_bytes, 1));
      }
    }
  }
}

TEST_P(PlannerConformance, TensorsThatAreAliveTogetherNeverShareBytes) {
  for (const profile::Profile& profile : Profiles()) {
    const MigrationPlan plan = MustPlan(Input(profile, Bytes(profile.peak_bytes.count() / 3)));
    const absl::Status checked = CheckPlacements(profile, plan);
    EXPECT_TRUE(checked.ok()) << checked;
  }
}

TEST_P(PlannerConformance, AnotherPlansPlacesCanBeKept) {
  for (const profile::Profile& profile : Profiles()) {
    PlannerInput input = Input(profile, Bytes(profile.peak_bytes.count() / 3));
    const MigrationPlan before = MustPlan(input);
    // Other times.
    profile::Profile changed = profile;
    for (profile::Layer& layer : changed.layers) layer.seconds /= 3;
    input.profile = &changed;
    input.machine = OneTier(0.3e9);
    input.layout_of = &before;
    const MigrationPlan plan = MustPlan(input);
    ASSERT_EQ(plan.placements.size(), before.placements.size());
    for (size_t i = 0; i < plan.placements.size(); ++i) {
      EXPECT_EQ(plan.placements[i].offset, before.placements[i].offset);
      EXPECT_EQ(plan.placements[i].region, before.placements[i].region);
    }
    EXPECT_EQ(plan.layout_end, before.layout_end);
    EXPECT_EQ(plan.short_lived_bytes, before.short_lived_bytes);
    for (const absl::Status& checked : {CheckFrames(changed, plan), CheckPlacements(changed, plan)}) {
      EXPECT_TRUE(checked.ok()) << checked;
    }
  }
}

TEST_P(PlannerConformance, PlacesOfAnotherStepAreNotKept) {
  const profile::Profile profile = RandomProfile(1, 5, 60);
  const MigrationPlan other = MustPlan(Input(RandomProfile(1, 5, 40), MiB(64)));
  PlannerInput input = Input(profile, MiB(64));
  input.layout_of = &other;
  const absl::Status refused = (*MakePlanner(GetParam().name))->Plan(input).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("another step"), absl::string_view::npos) << refused;
}

TEST_P(PlannerConformance, WhatALayerNeedsIsThereOrFetchedByItsDeadline) {
  if (!GetParam().prefetches) {
    // By demand, or in place: then nothing may be called needed that the plan doesn't bring.
    const profile::Profile profile = ConvNet();
    const MigrationPlan plan = MustPlan(Input(profile, Bytes(profile.peak_bytes.count() / 2)));
    for (const LayerActions& actions : plan.layers) EXPECT_TRUE(actions.need.empty());
    return;
  }
  for (const profile::Profile& profile : Profiles()) {
    for (const double share : Shares()) {
      PlannerInput input = Input(profile, Bytes(static_cast<int64_t>(profile.peak_bytes.count() * share)));
      const MigrationPlan draft = MustPlan(input);
      // Two frames of slack above the floor, as the planner keeps.
      input.budget = std::max(input.budget, GranuleFloor(profile, draft) + kGranule * 2);
      const MigrationPlan plan = MustPlan(input);
      const absl::Status checked = CheckDelivery(profile, plan);
      EXPECT_TRUE(checked.ok()) << checked << " at " << share;
      const absl::StatusOr<ReplayResult> replay = Replay(profile, input.machine, plan);
      ASSERT_TRUE(replay.ok()) << replay.status();
      EXPECT_EQ(replay->demand_fetches, 0);
      EXPECT_EQ(replay->forced_evictions, 0);
    }
  }
}

TEST_P(PlannerConformance, TheSameInputGivesTheSamePlan) {
  for (const profile::Profile& profile : Profiles()) {
    const PlannerInput input = Input(profile, Bytes(profile.peak_bytes.count() / 4));
    EXPECT_EQ(PlanToJson(MustPlan(input)), PlanToJson(MustPlan(input)));
  }
}

TEST_P(PlannerConformance, WithRoomForEverythingNothingMoves) {
  for (const profile::Profile& profile : Profiles()) {
    const MigrationPlan draft = MustPlan(Input(profile, profile.peak_bytes));
    const MigrationPlan plan = MustPlan(Input(profile, Footprint(profile, draft)));
    for (const LayerActions& actions : plan.layers) {
      EXPECT_TRUE(actions.fetch.empty());
      EXPECT_TRUE(actions.write_back.empty());
      EXPECT_TRUE(actions.release.empty());
    }
    EXPECT_EQ(plan.predicted_in, Bytes(0));
    EXPECT_EQ(plan.predicted_out, Bytes(0));
    EXPECT_EQ(plan.predicted_exposed_seconds, 0);
  }
}

TEST_P(PlannerConformance, APlanSaysWhatItIsFor) {
  const profile::Profile profile = ConvNet();
  const PlannerInput input = Input(profile, MiB(300), MiB(2));
  const MigrationPlan plan = MustPlan(input);
  EXPECT_EQ(plan.planner, GetParam().name);
  EXPECT_EQ(plan.profile_hash, profile::ContentHash(profile));
  EXPECT_EQ(plan.sequence_hash, profile::SequenceHash(profile));
  EXPECT_EQ(plan.budget, input.budget);
  EXPECT_EQ(plan.granule_bytes, input.granule_bytes);
  EXPECT_EQ(plan.layers.size(), profile.layers.size());
  EXPECT_EQ(plan.placements.size(), profile.tensors.size());
  EXPECT_GE(plan.predicted_seconds, 2.399);
}

TEST_P(PlannerConformance, SenselessInputIsRefused) {
  const profile::Profile profile = ConvNet();
  absl::StatusOr<std::unique_ptr<Planner>> planner = MakePlanner(GetParam().name);
  ASSERT_TRUE(planner.ok());
  const auto refused = [&](auto spoil) {
    PlannerInput input = Input(profile, MiB(300));
    spoil(&input);
    return absl::IsInvalidArgument((*planner)->Plan(input).status());
  };
  EXPECT_TRUE(refused([](PlannerInput* input) { input->profile = nullptr; }));
  EXPECT_TRUE(refused([](PlannerInput* input) { input->machine.slow.clear(); }));
  EXPECT_TRUE(refused([](PlannerInput* input) { input->machine.slow[0].in = BytesPerSecond(0); }));
  EXPECT_TRUE(refused([](PlannerInput* input) { input->machine.slow[0].out = BytesPerSecond(-1); }));
  EXPECT_TRUE(refused([](PlannerInput* input) { input->granule_bytes = Bytes(3000000); }));
  EXPECT_TRUE(refused([](PlannerInput* input) { input->granule_bytes = Bytes(0); }));
  EXPECT_TRUE(refused([](PlannerInput* input) { input->budget = Bytes(-1); }));
  EXPECT_TRUE(refused([](PlannerInput* input) { input->layout_base = 12345; }));
  profile::Profile empty;
  EXPECT_TRUE(refused([&](PlannerInput* input) { input->profile = &empty; }));
}

TEST_P(PlannerConformance, EvenNoFastMemoryAtAllIsNoError) {
  const profile::Profile profile = RandomProfile(3, 8, 20);
  const MigrationPlan plan = MustPlan(Input(profile, Bytes(0)));
  EXPECT_EQ(plan.placements.size(), profile.tensors.size());
}

}  // namespace thermocline::plan

#endif  // THERMOCLINE_TESTS_CONFORMANCE_PLANNER_CONFORMANCE_H_

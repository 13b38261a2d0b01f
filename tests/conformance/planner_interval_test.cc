#include <algorithm>
#include <set>

#include "tests/conformance/planner_conformance.h"

namespace thermocline::plan {
namespace {

std::set<GranuleId> ShortLivedRegion(const MigrationPlan& plan) {
  std::set<GranuleId> region;
  for (const Placement& placement : plan.placements) {
    if (placement.region != Region::kShortLived || placement.bytes == Bytes(0)) continue;
    const int64_t last = (placement.offset + placement.bytes.count() - 1) / plan.granule_bytes.count();
    for (int64_t g = placement.offset / plan.granule_bytes.count(); g <= last; ++g) {
      region.insert(GranuleId(static_cast<uint32_t>(g)));
    }
  }
  return region;
}

TEST_P(PlannerConformance, TheShortLivedRegionIsFastFromTheStartAndNeverMoves) {
  int with_region = 0, with_moves = 0;
  for (const profile::Profile& profile : Profiles()) {
    for (const double share : Shares()) {
      PlannerInput input = Input(profile, Bytes(static_cast<int64_t>(profile.peak_bytes.count() * share)));
      // Where the budget holds the region and what a layer needs besides.
      const MigrationPlan draft = MustPlan(input);
      const std::set<GranuleId> region = ShortLivedRegion(draft);
      input.budget = std::max(input.budget, GranuleFloor(profile, draft) + kGranule * (std::ssize(region) + 2));
      const MigrationPlan plan = MustPlan(input);
      ASSERT_EQ(ShortLivedRegion(plan), region);
      with_region += region.empty() ? 0 : 1;
      const std::set<GranuleId> at_start(plan.resident_at_start.begin(), plan.resident_at_start.end());
      for (const GranuleId id : region) EXPECT_TRUE(at_start.contains(id)) << id.value();
      for (const LayerActions& actions : plan.layers) {
        with_moves += actions.release.empty() ? 0 : 1;
        for (const GranuleId id : actions.release) EXPECT_FALSE(region.contains(id)) << id.value();
        for (const GranuleId id : actions.write_back) EXPECT_FALSE(region.contains(id)) << id.value();
        for (const GranuleId id : actions.provide) EXPECT_FALSE(region.contains(id)) << id.value();
        for (const Fetch& fetch : actions.fetch) EXPECT_FALSE(region.contains(fetch.granule)) << fetch.granule.value();
      }
    }
  }
  EXPECT_GT(with_region, 0);
  EXPECT_GT(with_moves, 0) << "nothing moved at all";
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Interval, PlannerConformance, ::testing::Values(PlannerCase{"interval", true}));

}  // namespace thermocline::plan

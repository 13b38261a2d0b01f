// An independent look at plans, written from their contract (migration_plan.h) alone, sharing nothing with the
// planners' own replay.
#ifndef THERMOCLINE_TESTS_PLAN_PLAN_CHECKER_H_
#define THERMOCLINE_TESTS_PLAN_PLAN_CHECKER_H_

#include "absl/status/status.h"
#include "src/plan/migration_plan.h"
#include "src/profile/profile.h"

namespace thermocline::plan {

// Follows the plan's actions through two steps: in no layer may it hold more granules than the budget has frames, where
// a fetch holds its frame from the layer that starts it; nothing is released that isn't held nor brought that is; and
// each step ends as it began.
absl::Status CheckFrames(const profile::Profile& profile, const MigrationPlan& plan);

// No two tensors whose lives overlap share a byte; alignment, regions and bounds are as promised.
absl::Status CheckPlacements(const profile::Profile& profile, const MigrationPlan& plan);

// In every layer each granule that a tensor touches there is named in `need`, and it is resident then or fetched with a
// deadline that is not after its first use; what holds content is never provided empty; nothing leaves in a layer that
// touches it. For plans whose budget is over the floor.
absl::Status CheckDelivery(const profile::Profile& profile, const MigrationPlan& plan);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_TESTS_PLAN_PLAN_CHECKER_H_

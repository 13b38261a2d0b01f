// What all planners share: checks of the input, the plan's header, and the placements.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_PLAN_PLAN_PARTS_H_
#define THERMOCLINE_PLAN_PLAN_PARTS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/plan/layout.h"
#include "src/plan/migration_plan.h"
#include "src/plan/planner.h"
#include "src/plan/replay.h"

namespace thermocline::plan {

// Refuses a missing or senseless profile, a machine without a slow tier or bandwidth, a granule that is no power of two
// of at least 4 KiB, a negative budget, a base that is not a multiple of the granule.
absl::Status CheckInput(const PlannerInput& input);

// The budget in frames.
int64_t FramesOf(const PlannerInput& input);

// The places of input.layout_of, else a layout that is solved. InvalidArgument where that plan lacks a tensor.
absl::StatusOr<Layout> LayoutFor(const PlannerInput& input, ShortLived short_lived = ShortLived::kApart);

// A plan with header and placements filled in, and empty actions for every layer.
MigrationPlan StartPlan(absl::string_view planner, const PlannerInput& input, const Layout& layout);

// The offsets of a plan's placements in the order of the profile's tensors; -1 for one that the plan doesn't place.
std::vector<int64_t> OffsetsOf(const MigrationPlan& plan, const profile::Profile& profile);

std::vector<double> LayerSeconds(const profile::Profile& profile);

// Replays the plan and notes what it predicts.
absl::StatusOr<ReplayResult> PredictWith(const profile::Profile& profile, const Machine& machine, MigrationPlan* plan);
absl::Status Predict(const PlannerInput& input, MigrationPlan* plan);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_PLAN_PARTS_H_

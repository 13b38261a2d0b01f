// MakePlanner: planners by name, as flags and options give them.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_PLAN_MAKE_PLANNER_H_
#define THERMOCLINE_PLAN_MAKE_PLANNER_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/plan/planner.h"

namespace thermocline::plan {

// "lookahead", "lagrangian", "interval", "first_touch", "lru". absl::InvalidArgumentError listing the known names for
// any other.
absl::StatusOr<std::unique_ptr<Planner>> MakePlanner(absl::string_view name);

// The planners whose plans a running program tries in real steps, to keep the fastest: the one of that name, and those
// that differ from it in what only a trial can tell. Errors: as MakePlanner.
absl::StatusOr<std::vector<std::unique_ptr<Planner>>> MakeTrialPlanners(absl::string_view name);

// The names, the default first.
std::vector<absl::string_view> PlannerNames();

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_MAKE_PLANNER_H_

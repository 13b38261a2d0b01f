#include "src/plan/make_planner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/plan/first_touch_planner.h"
#include "src/plan/interval_planner.h"
#include "src/plan/lookahead_planner.h"
#include "src/plan/lru_planner.h"

namespace thermocline::plan {

std::vector<absl::string_view> PlannerNames() { return {"lookahead", "lagrangian", "interval", "first_touch", "lru"}; }

absl::StatusOr<std::unique_ptr<Planner>> MakePlanner(absl::string_view name) {
  if (name == "lookahead") return std::make_unique<LookaheadPlanner>();
  if (name == "lagrangian") return std::make_unique<LookaheadPlanner>(LookaheadOptions{.by_prices = true});
  if (name == "interval") return std::make_unique<IntervalPlanner>();
  if (name == "first_touch") return std::make_unique<FirstTouchPlanner>();
  if (name == "lru") return std::make_unique<LruPlanner>();
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "' is not a planner; known are ", absl::StrJoin(PlannerNames(), ", ")));
}

absl::StatusOr<std::vector<std::unique_ptr<Planner>>> MakeTrialPlanners(absl::string_view name) {
  absl::StatusOr<std::unique_ptr<Planner>> planner = MakePlanner(name);
  if (!planner.ok()) return planner.status();
  std::vector<std::unique_ptr<Planner>> planners;
  planners.push_back(*std::move(planner));
  if (name == "interval") {
    planners.push_back(std::make_unique<IntervalPlanner>(IntervalOptions{EndOfInterval::kUseInPlace}));
  }
  return planners;
}

}  // namespace thermocline::plan

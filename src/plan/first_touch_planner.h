// FirstTouchPlanner: what a step touches first gets the fast memory and keeps it; the rest stays slow. No migration, as
// a plain NUMA machine does it. On a tier that compute can't use in place the rest comes by demand.
//
// Thread safety: const and stateless. Errors: see planner.h.
#ifndef THERMOCLINE_PLAN_FIRST_TOUCH_PLANNER_H_
#define THERMOCLINE_PLAN_FIRST_TOUCH_PLANNER_H_

#include "src/plan/planner.h"

namespace thermocline::plan {

class FirstTouchPlanner final : public Planner {
 public:
  absl::string_view name() const override { return "first_touch"; }
  absl::StatusOr<MigrationPlan> Plan(const PlannerInput& input) const override;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_FIRST_TOUCH_PLANNER_H_

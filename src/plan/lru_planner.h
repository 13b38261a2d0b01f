// LruPlanner: addresses and nothing else. Everything comes by demand and leaves least recently used first: the baseline
// that a plan has to beat.
//
// Thread safety: const and stateless. Errors: see planner.h.
#ifndef THERMOCLINE_PLAN_LRU_PLANNER_H_
#define THERMOCLINE_PLAN_LRU_PLANNER_H_

#include "src/plan/planner.h"

namespace thermocline::plan {

class LruPlanner final : public Planner {
 public:
  absl::string_view name() const override { return "lru"; }
  absl::StatusOr<MigrationPlan> Plan(const PlannerInput& input) const override;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_LRU_PLANNER_H_

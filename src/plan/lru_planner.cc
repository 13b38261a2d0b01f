#include "src/plan/lru_planner.h"

#include "src/plan/layout.h"
#include "src/plan/plan_parts.h"

namespace thermocline::plan {

absl::StatusOr<MigrationPlan> LruPlanner::Plan(const PlannerInput& input) const {
  if (absl::Status status = CheckInput(input); !status.ok()) return status;
  const absl::StatusOr<Layout> layout = LayoutFor(input);
  if (!layout.ok()) return layout.status();
  MigrationPlan plan = StartPlan(name(), input, *layout);
  if (absl::Status status = Predict(input, &plan); !status.ok()) return status;
  return plan;
}

}  // namespace thermocline::plan

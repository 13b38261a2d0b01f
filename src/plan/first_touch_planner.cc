#include "src/plan/first_touch_planner.h"

#include <algorithm>
#include <vector>

#include "src/plan/granule_timeline.h"
#include "src/plan/layout.h"
#include "src/plan/plan_parts.h"

namespace thermocline::plan {

absl::StatusOr<MigrationPlan> FirstTouchPlanner::Plan(const PlannerInput& input) const {
  if (absl::Status status = CheckInput(input); !status.ok()) return status;
  const absl::StatusOr<Layout> layout = LayoutFor(input);
  if (!layout.ok()) return layout.status();
  MigrationPlan plan = StartPlan(name(), input, *layout);
  const GranuleTimeline timeline = MakeTimeline(*input.profile, layout->offsets, input.granule_bytes);
  std::vector<const GranuleLife*> order;
  for (const GranuleLife& life : timeline.granules) order.push_back(&life);
  // What lives across steps was there before the step began; what is never touched comes last.
  const auto first_touch = [&](const GranuleLife* life) {
    if (life->uses.empty()) return timeline.layers;
    return life->always_live ? -1 : life->uses.front().layer;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](const GranuleLife* a, const GranuleLife* b) { return first_touch(a) < first_touch(b); });
  const int64_t frames = std::min<int64_t>(FramesOf(input), static_cast<int64_t>(order.size()));
  for (int64_t i = 0; i < frames; ++i) plan.resident_at_start.push_back(order[i]->granule);
  std::sort(plan.resident_at_start.begin(), plan.resident_at_start.end());
  if (absl::Status status = Predict(input, &plan); !status.ok()) return status;
  return plan;
}

}  // namespace thermocline::plan

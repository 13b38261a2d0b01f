// EmitActions: turns decided gaps into what a plan says for each layer.
//
// Thread safety: pure function.
#ifndef THERMOCLINE_PLAN_PLAN_EMITTER_H_
#define THERMOCLINE_PLAN_PLAN_EMITTER_H_

#include <vector>

#include "src/plan/gaps.h"
#include "src/plan/granule_timeline.h"
#include "src/plan/migration_plan.h"

namespace thermocline::plan {

// Fills `layers` and `resident_at_start` of the plan. A live gap that is evicted is written back after its last write,
// or in the layer `write_at` that this is put off to, and released after its last use and not before that; it is
// fetched from the layer after its free stretch on. A dead one is released, and provided again where it is next used.
void EmitActions(const GranuleTimeline& timeline, const std::vector<Gap>& gaps, MigrationPlan* plan);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_PLAN_EMITTER_H_

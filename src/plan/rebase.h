// Rebase: a plan that was made for another arena, or for none, moved to where this one lays planned tensors out.
//
// The layout begins with the first tensor that isn't fixed: planners put what they place above what is there already.
// From there on offsets and granules move together. Fixed tensors stay where they were. What names no granule of this
// arena is left out: granules beyond the layout, and those below it that the layout lies on now. Thread safety: pure
// function. Errors: InvalidArgument when the layout doesn't fit; the plan is then as it was.
#ifndef THERMOCLINE_PLAN_REBASE_H_
#define THERMOCLINE_PLAN_REBASE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "src/plan/migration_plan.h"

namespace thermocline::plan {

// Into the arena's offsets [begin, end). REQUIRES: `begin` is a multiple of the plan's granules.
absl::Status Rebase(int64_t begin, int64_t end, MigrationPlan* plan);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_REBASE_H_

// WhatIf: what a step would cost if a tensor lay elsewhere than its plan has it: fast throughout, or slow throughout.
//
// The plan is replayed with that one change (replay.h): what must make room, or comes too late, costs what it costs;
// nothing is planned anew. So it is what the tensor's place is worth to this plan, not to the best plan without it.
// Granules are the unit: those that hold a part of the tensor are held as a whole, whatever else lies in them. Thread
// safety: pure function. Errors: NotFound for a tensor that the plan does not have, else as Replay.
#ifndef THERMOCLINE_PLAN_WHAT_IF_H_
#define THERMOCLINE_PLAN_WHAT_IF_H_

#include <vector>

#include "absl/status/statusor.h"
#include "src/plan/migration_plan.h"
#include "src/plan/replay.h"
#include "src/profile/profile.h"

namespace thermocline::plan {

// One change. Differences are to the plan as it is; negative: it would be better.
struct Elsewhere {
  bool possible = true;      // false: `layer` would need more frames than there are, beside the tensor's
  LayerId layer = kNoLayer;  // that doesn't fit
  Bytes missing;             // so much
  double seconds = 0;        // of a step
  double exposed_seconds = 0;
  Bytes in, out;                 // negative: less
  std::vector<TensorId> leaves;  // that must leave fast memory instead, some time in the step; the largest first
};

struct WhatIf {
  ReplayResult as_planned;
  Elsewhere fast;  // its granules never leave
  Elsewhere slow;  // they come when they are touched, and leave when the next layer doesn't touch them
};

absl::StatusOr<WhatIf> TryElsewhere(const profile::Profile& profile, const Machine& machine, const MigrationPlan& plan,
                                    TensorId tensor);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_WHAT_IF_H_

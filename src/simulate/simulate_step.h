// SimulateStep: what a step of a traced network would take on a described machine, with a planner and a budget.
//
// Thread safety: pure function. Errors: as Planner::Plan and plan::Replay.
#ifndef THERMOCLINE_SIMULATE_SIMULATE_STEP_H_
#define THERMOCLINE_SIMULATE_SIMULATE_STEP_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/units.h"
#include "src/plan/migration_plan.h"
#include "src/plan/planner.h"
#include "src/profile/profile.h"

namespace thermocline::simulate {

struct StepPrediction {
  double seconds = 0;          // of a step in the steady state
  double compute_seconds = 0;  // the layers' times: the step with everything fast
  double exposed_seconds = 0;  // waiting for data or for frames
  std::vector<double> exposed_per_layer;
  Bytes bytes_in;   // slow to fast
  Bytes bytes_out;  // fast to slow
  Bytes peak_fast;
  int64_t demand_fetches = 0;
  int64_t late_fetches = 0;  // planned, and waited for all the same
};

// The plan is made for `budget` in units of `granule_bytes`, and replayed in virtual time, the way the migration engine
// executes it. Of several slow tiers the planners of today use the first.
absl::StatusOr<StepPrediction> SimulateStep(const profile::Profile& profile, const plan::Planner& planner,
                                            const plan::Machine& machine, Bytes budget, Bytes granule_bytes);

}  // namespace thermocline::simulate

#endif  // THERMOCLINE_SIMULATE_SIMULATE_STEP_H_

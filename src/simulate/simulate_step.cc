#include "src/simulate/simulate_step.h"

#include <utility>

#include "src/plan/replay.h"

namespace thermocline::simulate {

absl::StatusOr<StepPrediction> SimulateStep(const profile::Profile& profile, const plan::Planner& planner,
                                            const plan::Machine& machine, Bytes budget, Bytes granule_bytes) {
  plan::PlannerInput input;
  input.profile = &profile;
  input.machine = machine;
  input.budget = budget;
  input.granule_bytes = granule_bytes;
  const absl::StatusOr<plan::MigrationPlan> plan = planner.Plan(input);
  if (!plan.ok()) return plan.status();
  absl::StatusOr<plan::ReplayResult> replay = plan::Replay(profile, machine, *plan);
  if (!replay.ok()) return replay.status();
  StepPrediction prediction;
  prediction.seconds = replay->seconds;
  for (const profile::Layer& layer : profile.layers) prediction.compute_seconds += layer.seconds;
  prediction.exposed_seconds = replay->exposed_seconds;
  prediction.exposed_per_layer = std::move(replay->exposed_per_layer);
  prediction.bytes_in = replay->in;
  prediction.bytes_out = replay->out;
  prediction.peak_fast = granule_bytes * replay->peak_frames;
  prediction.demand_fetches = replay->demand_fetches;
  prediction.late_fetches = replay->late_fetches;
  return prediction;
}

}  // namespace thermocline::simulate

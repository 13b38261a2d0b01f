// What a tensor's place costs, and what another would: this plan, replayed with that one change, on a machine.
//
// Thread safety: pure functions. `profile` must be the plan's own. Errors: NotFound for a layer or tensor that the plan
// does not have, else as plan::Replay.
#ifndef THERMOCLINE_CLI_EXPLAIN_ELSEWHERE_H_
#define THERMOCLINE_CLI_EXPLAIN_ELSEWHERE_H_

#include <string>

#include "absl/status/statusor.h"
#include "src/base/units.h"
#include "src/plan/migration_plan.h"
#include "src/profile/profile.h"

namespace thermocline::cli {

absl::StatusOr<std::string> TensorElsewhere(const plan::MigrationPlan& plan, const profile::Profile& profile,
                                            const plan::Machine& machine, TensorId tensor);
// Of the largest tensors that the layer touches.
absl::StatusOr<std::string> LayerElsewhere(const plan::MigrationPlan& plan, const profile::Profile& profile,
                                           const plan::Machine& machine, LayerId layer);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_EXPLAIN_ELSEWHERE_H_

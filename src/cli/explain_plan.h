// Plans in words: what is done when, and why a tensor lies where it lies.
//
// Thread safety: pure functions. `profile` may be nullptr; with it names and uses are told. It must be the plan's own.
// Errors: NotFound for a layer or tensor that the plan does not have.
#ifndef THERMOCLINE_CLI_EXPLAIN_PLAN_H_
#define THERMOCLINE_CLI_EXPLAIN_PLAN_H_

#include <string>

#include "absl/status/statusor.h"
#include "src/base/units.h"
#include "src/plan/migration_plan.h"
#include "src/profile/profile.h"

namespace thermocline::cli {

std::string ExplainPlan(const plan::MigrationPlan& plan, const profile::Profile* profile);
absl::StatusOr<std::string> ExplainLayer(const plan::MigrationPlan& plan, const profile::Profile* profile,
                                         LayerId layer);
absl::StatusOr<std::string> ExplainTensor(const plan::MigrationPlan& plan, const profile::Profile* profile,
                                          TensorId tensor);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_EXPLAIN_PLAN_H_

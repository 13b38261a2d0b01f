// What `plan`, `simulate` and `explain` share: budgets, planners, and traces made ready for a machine.
//
// Thread safety: pure functions but for the files and warnings. Errors: UsageError for flags, else as the trace reader.
#ifndef THERMOCLINE_CLI_PLANNING_H_
#define THERMOCLINE_CLI_PLANNING_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "src/base/parse_units.h"
#include "src/cli/machine_flags.h"
#include "src/plan/planner.h"
#include "src/profile/profile.h"
#include "src/trace/trace_file.h"

namespace thermocline::cli {

// Says on a terminal that it reads, where that takes long.
absl::StatusOr<trace::TraceFile> ReadTraceFile(const std::string& path);
// The trace's profile with its peak filled in and its layers rescaled as the flags say.
absl::StatusOr<profile::Profile> ReadProfileFor(const std::string& path, const MachineFlags& flags);

absl::StatusOr<Budget> ParseFast(const std::string& text);
absl::StatusOr<std::unique_ptr<plan::Planner>> PlannerNamed(const std::string& flag, const std::string& name);
// "lookahead|interval|..."
std::string KnownPlanners();

// Planners use one slow tier so far, the first, which is the fastest. Refuses a machine whose first tier has no room
// for what doesn't fit the budget; says on stderr when there are others, since they are left out.
absl::Status CheckSlowTiers(const plan::Machine& machine, const profile::Profile& profile, Bytes budget);

// Says on stderr when the budget is below the floor: the step then fetches by demand.
void WarnBelowFloor(const profile::Profile& profile, Bytes budget);

nlohmann::ordered_json MachineToJson(const plan::Machine& machine);
// One document on stdout.
void PrintJson(const nlohmann::ordered_json& json);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_PLANNING_H_

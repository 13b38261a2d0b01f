// Plans as files: a MigrationPlan to JSON and back, so that a second run needs no profiled step.
//
// Format version 1: one object; hashes are strings of 16 hexadecimal digits, ids of granules are numbers. Unknown
// members are ignored, another version is refused. Thread safety: pure functions but for the file itself. Errors:
// InvalidArgument "NAME:LINE:COLUMN: what is wrong" for anything that is no plan: wrong types, numbers out of range,
// text cut short or nested too deep; the errno's status for a file that can't be read or written. Nothing half written
// is left.
#ifndef THERMOCLINE_PLAN_PLAN_FILE_H_
#define THERMOCLINE_PLAN_PLAN_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/plan/migration_plan.h"

namespace thermocline::plan {

std::string PlanToJson(const MigrationPlan& plan);
// `name` is what messages call the text.
absl::StatusOr<MigrationPlan> PlanFromJson(absl::string_view text, absl::string_view name);

absl::Status SavePlan(const MigrationPlan& plan, const std::string& path);
absl::StatusOr<MigrationPlan> LoadPlan(const std::string& path);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_PLAN_FILE_H_

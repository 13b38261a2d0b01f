#include "src/cli/planning.h"

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/cli/command.h"
#include "src/cli/progress.h"
#include "src/plan/make_planner.h"

namespace thermocline::cli {

absl::StatusOr<trace::TraceFile> ReadTraceFile(const std::string& path) {
  const Progress progress(absl::StrCat("reading ", path));
  return trace::ReadTrace(path);
}

absl::StatusOr<profile::Profile> ReadProfileFor(const std::string& path, const MachineFlags& flags) {
  absl::StatusOr<trace::TraceFile> trace = ReadTraceFile(path);
  if (!trace.ok()) return trace.status();
  profile::Profile profile = std::move(trace->profile);
  if (profile.layers.empty())
    return absl::InvalidArgumentError(absl::StrCat(path, ": has no layers, so nothing to plan"));
  if (profile.peak_bytes == Bytes(0)) profile.peak_bytes = profile::PeakBytes(profile);
  if (absl::Status status = flags.Rescale(&profile); !status.ok()) return status;
  return profile;
}

absl::StatusOr<Budget> ParseFast(const std::string& text) {
  absl::StatusOr<Budget> budget = ParseBudget(text);
  if (!budget.ok()) return UsageError(absl::StrCat("--fast ", text, ": ", budget.status().message()));
  return budget;
}

absl::StatusOr<std::unique_ptr<plan::Planner>> PlannerNamed(const std::string& flag, const std::string& name) {
  absl::StatusOr<std::unique_ptr<plan::Planner>> planner = plan::MakePlanner(name);
  if (!planner.ok()) return UsageError(absl::StrCat(flag, " ", name, ": ", planner.status().message()));
  return planner;
}

std::string KnownPlanners() { return absl::StrJoin(plan::PlannerNames(), "|"); }

absl::Status CheckSlowTiers(const plan::Machine& machine, const profile::Profile& profile, Bytes budget) {
  const plan::TierSpec& first = machine.slow.front();
  const Bytes peak = profile.peak_bytes > Bytes(0) ? profile.peak_bytes : profile::PeakBytes(profile);
  const bool several = machine.slow.size() > 1;
  if (first.capacity > Bytes(0) && first.capacity < peak - budget) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--slow ", first.name, " has room for ", FormatBytes(first.capacity), ", and of the peak of ",
        FormatBytes(peak), " a budget of ", FormatBytes(budget), " leaves ", FormatBytes(peak - budget), " to it; ",
        several ? "planners use one slow tier so far, the first, so the others don't help: " : "",
        "give it more capacity, or a larger --fast"));
  }
  if (several) {
    Warn(absl::StrCat("planners use one slow tier so far, the first: ", first.name,
                      " takes all, the others are left out"));
  }
  return absl::OkStatus();
}

void WarnBelowFloor(const profile::Profile& profile, Bytes budget) {
  const profile::Floor floor = profile::FloorBytes(profile);
  if (budget >= floor.bytes) return;
  const std::string& name = profile.layers[floor.layer.value()].name;
  Warn(absl::StrFormat(
      "a budget of %s is below the floor of %s, what layer %d%s needs at once: it will be fetched by demand",
      FormatBytes(budget), FormatBytes(floor.bytes), floor.layer.value(),
      name.empty() ? "" : absl::StrCat(" (", name, ")")));
}

nlohmann::ordered_json MachineToJson(const plan::Machine& machine) {
  nlohmann::ordered_json tiers = nlohmann::ordered_json::array();
  for (const plan::TierSpec& tier : machine.slow) {
    tiers.push_back({{"name", tier.name},
                     {"in_bytes_per_second", tier.in.rate()},
                     {"out_bytes_per_second", tier.out.rate()},
                     {"latency_seconds", tier.latency_seconds},
                     {"duplex", tier.full_duplex ? "full" : "half"},
                     {"addressable", tier.byte_addressable},
                     {"capacity_bytes", tier.capacity.count()}});
  }
  return {{"slow", std::move(tiers)}};
}

void PrintJson(const nlohmann::ordered_json& json) {
  std::cout << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

}  // namespace thermocline::cli

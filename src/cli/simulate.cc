// thermocline simulate --trace F --fast 10%,20%,50% --policy all [--json]

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/cli/command.h"
#include "src/cli/planning.h"
#include "src/cli/progress.h"
#include "src/cli/text_table.h"
#include "src/plan/make_planner.h"
#include "src/simulate/simulate_step.h"

namespace thermocline::cli {
namespace {

struct Flags {
  std::string trace;
  std::vector<std::string> fast;
  std::vector<std::string> policies{"all"};
  bool json = false;
  MachineFlags machine;
};

// One budget with one planner.
struct Row {
  Bytes budget;
  std::string policy;
  simulate::StepPrediction step;
};

absl::StatusOr<std::vector<std::unique_ptr<plan::Planner>>> Planners(const std::vector<std::string>& names) {
  std::vector<std::unique_ptr<plan::Planner>> planners;
  for (const std::string& name : names) {
    if (name == "all") {
      for (const absl::string_view each : plan::PlannerNames()) planners.push_back(plan::MakePlanner(each).value());
      continue;
    }
    absl::StatusOr<std::unique_ptr<plan::Planner>> planner = PlannerNamed("--policy", name);
    if (!planner.ok()) return planner.status();
    planners.push_back(*std::move(planner));
  }
  return planners;
}

nlohmann::ordered_json ToJson(const Row& row) {
  return {{"budget_bytes", row.budget.count()},
          {"policy", row.policy},
          {"seconds", row.step.seconds},
          {"exposed_seconds", row.step.exposed_seconds},
          {"exposed_seconds_per_layer", row.step.exposed_per_layer},
          {"bytes_in", row.step.bytes_in.count()},
          {"bytes_out", row.step.bytes_out.count()},
          {"peak_fast_bytes", row.step.peak_fast.count()},
          {"demand_fetches", row.step.demand_fetches},
          {"late_fetches", row.step.late_fetches}};
}

void PrintRowsAsJson(const profile::Profile& profile, const plan::Machine& machine, const std::vector<Row>& rows) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const Row& row : rows) results.push_back(ToJson(row));
  PrintJson({{"model", profile.model},
             {"peak_bytes", profile.peak_bytes.count()},
             {"floor_bytes", profile::FloorBytes(profile).bytes.count()},
             {"compute_seconds", rows.empty() ? 0 : rows.front().step.compute_seconds},
             {"machine", MachineToJson(machine)},
             {"results", std::move(results)}});
}

void PrintRowsAsText(const profile::Profile& profile, const std::vector<Row>& rows) {
  std::cout << "model " << Printable(profile.model) << ", peak " << FormatBytes(profile.peak_bytes) << ", floor "
            << FormatBytes(profile::FloorBytes(profile).bytes) << "\n";
  TextTable table(
      {">fast", ">of peak", "policy", ">step", ">to all fast", ">exposed", ">in", ">out", ">demand", ">late"});
  for (const Row& row : rows) {
    const double ratio = row.step.compute_seconds > 0 ? row.step.seconds / row.step.compute_seconds : 1;
    table.Add({FormatBytes(row.budget),
               absl::StrFormat("%.1f%%", 100.0 * row.budget.count() / profile.peak_bytes.count()), row.policy,
               FormatSeconds(row.step.seconds), absl::StrFormat("%.3fx", ratio),
               FormatSeconds(row.step.exposed_seconds), FormatBytes(row.step.bytes_in), FormatBytes(row.step.bytes_out),
               absl::StrCat(row.step.demand_fetches), absl::StrCat(row.step.late_fetches)});
  }
  std::cout << table.Format();
}

absl::StatusOr<std::vector<Row>> SimulateAll(const profile::Profile& profile, const plan::Machine& machine,
                                             const MachineFlags& flags, const std::vector<Budget>& budgets,
                                             const std::vector<std::unique_ptr<plan::Planner>>& planners) {
  std::vector<Row> rows;
  Progress progress("", budgets.size() * planners.size());
  for (const Budget& fast : budgets) {
    const Bytes budget = fast.Resolve(profile.peak_bytes);
    const absl::StatusOr<Bytes> granule = flags.GranuleFor(budget);
    if (!granule.ok()) return granule.status();
    for (const std::unique_ptr<plan::Planner>& planner : planners) {
      progress.Next(absl::StrCat(planner->name(), " at ", FormatBytes(budget)));
      auto step = simulate::SimulateStep(profile, *planner, machine, budget, *granule);
      if (!step.ok()) return step.status();
      rows.push_back({budget, std::string(planner->name()), *std::move(step)});
    }
  }
  return rows;
}

absl::Status Simulate(const Flags& flags) {
  std::vector<Budget> budgets;
  for (const std::string& text : flags.fast) {
    const absl::StatusOr<Budget> budget = ParseFast(text);
    if (!budget.ok()) return budget.status();
    budgets.push_back(*budget);
  }
  const auto planners = Planners(flags.policies);
  if (!planners.ok()) return planners.status();
  const absl::StatusOr<plan::Machine> machine = flags.machine.Machine();
  if (!machine.ok()) return machine.status();
  const absl::StatusOr<profile::Profile> profile = ReadProfileFor(flags.trace, flags.machine);
  if (!profile.ok()) return profile.status();
  Bytes least = profile->peak_bytes;
  for (const Budget& fast : budgets) least = std::min(least, fast.Resolve(profile->peak_bytes));
  if (absl::Status status = CheckSlowTiers(*machine, *profile, least); !status.ok()) return status;
  for (const Budget& fast : budgets) WarnBelowFloor(*profile, fast.Resolve(profile->peak_bytes));
  const auto rows = SimulateAll(*profile, *machine, flags.machine, budgets, *planners);
  if (!rows.ok()) return rows.status();
  flags.json ? PrintRowsAsJson(*profile, *machine, *rows) : PrintRowsAsText(*profile, *rows);
  return absl::OkStatus();
}

}  // namespace

void RegisterSimulate(CLI::App& app) {
  CLI::App* const simulate =
      app.add_subcommand("simulate", "Predict a traced step's time on a machine, planner by planner");
  const auto flags = std::make_shared<Flags>();
  simulate->add_option("--trace", flags->trace, "The trace or profile: plain, .gz or .zst")->required();
  simulate->add_option("--fast", flags->fast, "Fast budgets: 10%,20%,50% of the trace's peak, or sizes")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->required();
  simulate->add_option("--policy", flags->policies, absl::StrCat("all, or some of ", KnownPlanners(), ", with commas"))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  simulate->add_flag("--json", flags->json, "Print one JSON object");
  flags->machine.AddTo(simulate);
  SetAction(simulate, [flags] { return Simulate(*flags); });
}

}  // namespace thermocline::cli

// thermocline plan --trace F --fast 20% --planner NAME -o plan.json

#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/cli/command.h"
#include "src/cli/planning.h"
#include "src/cli/progress.h"
#include "src/cli/text_table.h"
#include "src/plan/make_planner.h"
#include "src/plan/plan_file.h"

namespace thermocline::cli {
namespace {

struct Flags {
  std::string trace;
  std::string fast;
  std::string planner{plan::PlannerNames().front()};
  std::string output;
  bool json = false;
  MachineFlags machine;
};

void PrintPlan(const plan::MigrationPlan& plan, const profile::Profile& profile, const Flags& flags) {
  if (flags.json) {
    return PrintJson({{"planner", plan.planner},
                      {"budget_bytes", plan.budget.count()},
                      {"peak_bytes", profile.peak_bytes.count()},
                      {"granule_bytes", plan.granule_bytes.count()},
                      {"layout_bytes", plan.layout_end - plan.layout_base},
                      {"short_lived_bytes", plan.short_lived_bytes.count()},
                      {"predicted_seconds", plan.predicted_seconds},
                      {"predicted_exposed_seconds", plan.predicted_exposed_seconds},
                      {"predicted_in_bytes", plan.predicted_in.count()},
                      {"predicted_out_bytes", plan.predicted_out.count()},
                      {"output", flags.output}});
  }
  std::cout << plan.planner << " at " << FormatBytes(plan.budget) << " of " << FormatBytes(profile.peak_bytes) << ": "
            << FormatSeconds(plan.predicted_seconds) << " a step, " << FormatSeconds(plan.predicted_exposed_seconds)
            << " of it exposed; " << FormatBytes(plan.predicted_in) << " in, " << FormatBytes(plan.predicted_out)
            << " out\n"
            << "address space " << FormatBytes(Bytes(plan.layout_end - plan.layout_base)) << ", short-lived region "
            << FormatBytes(plan.short_lived_bytes) << "\n";
}

absl::Status MakePlan(const Flags& flags) {
  const absl::StatusOr<Budget> fast = ParseFast(flags.fast);
  if (!fast.ok()) return fast.status();
  const absl::StatusOr<std::unique_ptr<plan::Planner>> planner = PlannerNamed("--planner", flags.planner);
  if (!planner.ok()) return planner.status();
  const absl::StatusOr<plan::Machine> machine = flags.machine.Machine();
  if (!machine.ok()) return machine.status();
  const absl::StatusOr<profile::Profile> profile = ReadProfileFor(flags.trace, flags.machine);
  if (!profile.ok()) return profile.status();
  const absl::StatusOr<Bytes> granule = flags.machine.GranuleFor(fast->Resolve(profile->peak_bytes));
  if (!granule.ok()) return granule.status();
  plan::PlannerInput input;
  input.profile = &*profile;
  input.machine = *machine;
  input.budget = fast->Resolve(profile->peak_bytes);
  input.granule_bytes = *granule;
  if (absl::Status status = CheckSlowTiers(*machine, *profile, input.budget); !status.ok()) return status;
  WarnBelowFloor(*profile, input.budget);
  const absl::StatusOr<plan::MigrationPlan> plan = [&] {
    const Progress progress(absl::StrCat("planning by ", flags.planner));
    return (*planner)->Plan(input);
  }();
  if (!plan.ok()) return plan.status();
  if (absl::Status status = plan::SavePlan(*plan, flags.output); !status.ok()) return status;
  PrintPlan(*plan, *profile, flags);
  return absl::OkStatus();
}

}  // namespace

void RegisterPlan(CLI::App& app) {
  CLI::App* const plan =
      app.add_subcommand("plan", "Make a plan from a trace, for a run that then needs no profiled step");
  const auto flags = std::make_shared<Flags>();
  plan->add_option("--trace", flags->trace, "The trace or profile: plain, .gz or .zst")->required();
  plan->add_option("--fast", flags->fast, "The fast budget: 20% of the trace's peak, or 8GiB")->required();
  plan->add_option("--planner", flags->planner, KnownPlanners())->capture_default_str();
  plan->add_option("-o,--output", flags->output, "The plan's file")->required();
  plan->add_flag("--json", flags->json, "Print one JSON object");
  flags->machine.AddTo(plan);
  SetAction(plan, [flags] { return MakePlan(*flags); });
}

}  // namespace thermocline::cli

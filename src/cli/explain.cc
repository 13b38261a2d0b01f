// thermocline explain plan.json [--layer N | --tensor ID] [--trace F [--slow SPEC]]

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/cli/command.h"
#include "src/cli/explain_elsewhere.h"
#include "src/cli/explain_plan.h"
#include "src/cli/machine_flags.h"
#include "src/cli/planning.h"
#include "src/cli/progress.h"
#include "src/plan/plan_file.h"
#include "src/trace/trace_file.h"

namespace thermocline::cli {
namespace {

struct Flags {
  std::string plan;
  std::string trace;
  std::optional<int32_t> layer;
  std::optional<int64_t> tensor;
  MachineFlags machine;
};

constexpr char kNeedsTrace[] = "with --trace, the plan's own, and --slow it says what another place would cost\n";

// The layer's or the tensor's part of the plan, and what would be if it were otherwise.
absl::StatusOr<std::string> ExplainPart(const Flags& flags, const plan::MigrationPlan& plan,
                                        const profile::Profile* profile, const plan::Machine& machine) {
  const LayerId layer(flags.layer.value_or(0));
  const TensorId tensor(flags.tensor.value_or(0));
  absl::StatusOr<std::string> text =
      flags.layer.has_value() ? ExplainLayer(plan, profile, layer) : ExplainTensor(plan, profile, tensor);
  if (!text.ok()) return text;
  if (profile == nullptr) return absl::StrCat(*text, kNeedsTrace);
  const Progress progress("reckoning what other places would cost");
  const absl::StatusOr<std::string> elsewhere = flags.layer.has_value()
                                                    ? LayerElsewhere(plan, *profile, machine, layer)
                                                    : TensorElsewhere(plan, *profile, machine, tensor);
  if (!elsewhere.ok()) return elsewhere.status();
  return absl::StrCat(*text, *elsewhere);
}

absl::Status Explain(const Flags& flags) {
  const absl::StatusOr<plan::Machine> machine = flags.machine.Machine();
  if (!machine.ok()) return machine.status();
  const absl::StatusOr<plan::MigrationPlan> plan = plan::LoadPlan(flags.plan);
  if (!plan.ok()) return plan.status();
  trace::TraceFile trace;
  if (!flags.trace.empty()) {
    absl::StatusOr<trace::TraceFile> read = ReadTraceFile(flags.trace);
    if (!read.ok()) return read.status();
    if (profile::SequenceHash(read->profile) != plan->sequence_hash) {
      return absl::InvalidArgumentError(
          absl::StrCat(flags.plan, " was not made from ", flags.trace,
                       ": their sequences of allocations differ; give the plan's own trace"));
    }
    trace = *std::move(read);
  }
  const profile::Profile* const profile = flags.trace.empty() ? nullptr : &trace.profile;
  const bool part = flags.layer.has_value() || flags.tensor.has_value();
  if (!flags.machine.slow.empty()) {
    if (profile == nullptr || !part) {
      return UsageError("--slow says what another place would cost: it goes with --trace and --layer or --tensor");
    }
    if (absl::Status status = CheckSlowTiers(*machine, *profile, plan->budget); !status.ok()) return status;
  }
  const absl::StatusOr<std::string> text =
      part ? ExplainPart(flags, *plan, profile, *machine) : ExplainPlan(*plan, profile);
  if (!text.ok()) return absl::Status(text.status().code(), absl::StrCat(flags.plan, ": ", text.status().message()));
  std::cout << *text;
  return absl::OkStatus();
}

}  // namespace

void RegisterExplain(CLI::App& app) {
  CLI::App* const explain = app.add_subcommand("explain", "Say what a plan does, in a layer or with a tensor, and why");
  const auto flags = std::make_shared<Flags>();
  explain->add_option("PLAN", flags->plan, "A plan, as `thermocline plan` and tc_save_plan write them")->required();
  CLI::Option* const layer = explain->add_option("--layer", flags->layer, "What is done when this layer starts");
  explain->add_option("--tensor", flags->tensor, "Where this tensor lies, and when its granules move")->excludes(layer);
  explain->add_option(
      "--trace", flags->trace,
      "The trace that the plan was made from: adds names, uses, gaps, and what other places would cost");
  flags->machine.AddSlowTo(explain);
  SetAction(explain, [flags] { return Explain(*flags); });
}

}  // namespace thermocline::cli

// thermocline explain plan.json [--layer N | --tensor ID] [--trace F]

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/cli/command.h"
#include "src/cli/explain_plan.h"
#include "src/plan/plan_file.h"
#include "src/trace/trace_file.h"

namespace thermocline::cli {
namespace {

struct Flags {
  std::string plan;
  std::string trace;
  std::optional<int32_t> layer;
  std::optional<int64_t> tensor;
};

absl::Status Explain(const Flags& flags) {
  const absl::StatusOr<plan::MigrationPlan> plan = plan::LoadPlan(flags.plan);
  if (!plan.ok()) return plan.status();
  trace::TraceFile trace;
  if (!flags.trace.empty()) {
    absl::StatusOr<trace::TraceFile> read = trace::ReadTrace(flags.trace);
    if (!read.ok()) return read.status();
    if (profile::SequenceHash(read->profile) != plan->sequence_hash) {
      return absl::InvalidArgumentError(
          absl::StrCat(flags.plan, " was not made from ", flags.trace,
                       ": their sequences of allocations differ; give the plan's own trace"));
    }
    trace = *std::move(read);
  }
  const profile::Profile* const profile = flags.trace.empty() ? nullptr : &trace.profile;
  absl::StatusOr<std::string> text;
  if (flags.layer.has_value()) {
    text = ExplainLayer(*plan, profile, LayerId(*flags.layer));
  } else if (flags.tensor.has_value()) {
    text = ExplainTensor(*plan, profile, TensorId(*flags.tensor));
  } else {
    text = ExplainPlan(*plan, profile);
  }
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
  explain->add_option("--trace", flags->trace, "The trace that the plan was made from: adds names, uses and gaps");
  SetAction(explain, [flags] { return Explain(*flags); });
}

}  // namespace thermocline::cli

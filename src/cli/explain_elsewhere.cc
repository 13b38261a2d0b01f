#include "src/cli/explain_elsewhere.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/parse_units.h"
#include "src/cli/text_table.h"
#include "src/plan/what_if.h"

namespace thermocline::cli {
namespace {

constexpr double kNoChange = 1e-9;
constexpr size_t kMostLeaving = 8;
// Each takes two replays of the step.
constexpr size_t kMostTensors = 8;

std::string Change(double seconds) {
  if (std::fabs(seconds) < kNoChange) return "no change";
  return absl::StrCat(seconds > 0 ? "+" : "-", FormatSeconds(std::fabs(seconds)));
}

std::string Change(Bytes bytes) {
  if (bytes == Bytes(0)) return "as much";
  return absl::StrCat(bytes > Bytes(0) ? "+" : "-", FormatBytes(bytes > Bytes(0) ? bytes : Bytes(0) - bytes));
}

std::string Impossible(const profile::Profile& profile, const plan::Elsewhere& elsewhere) {
  const int32_t layer = elsewhere.layer.value();
  const std::string& name = profile.layers[layer].name;
  return absl::StrCat("impossible: layer ", layer, name.empty() ? "" : absl::StrCat(" (", Printable(name), ")"),
                      " would need ", FormatBytes(elsewhere.missing), " more than the budget");
}

std::string Leaving(const profile::Profile& profile, const std::vector<TensorId>& leaves) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < leaves.size() && i < kMostLeaving; ++i) {
    const auto tensor = std::find_if(profile.tensors.begin(), profile.tensors.end(),
                                     [&](const profile::Tensor& candidate) { return candidate.id == leaves[i]; });
    parts.push_back(absl::StrCat(
        leaves[i].value(), tensor == profile.tensors.end() ? "" : absl::StrCat(" (", FormatBytes(tensor->bytes), ")")));
  }
  if (leaves.size() > kMostLeaving) parts.push_back(absl::StrCat(leaves.size() - kMostLeaving, " more"));
  return absl::StrJoin(parts, ", ");
}

std::string ElsewhereText(const profile::Profile& profile, const plan::Elsewhere& elsewhere) {
  if (!elsewhere.possible) return Impossible(profile, elsewhere);
  std::string text =
      absl::StrCat("step time ", Change(elsewhere.seconds), ", waiting ", Change(elsewhere.exposed_seconds), "; in ",
                   Change(elsewhere.in), ", out ", Change(elsewhere.out));
  if (!elsewhere.leaves.empty()) {
    absl::StrAppend(&text, "\n    must leave instead: tensors ", Leaving(profile, elsewhere.leaves));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> TensorElsewhere(const plan::MigrationPlan& plan, const profile::Profile& profile,
                                            const plan::Machine& machine, TensorId tensor) {
  const absl::StatusOr<plan::WhatIf> what_if = plan::TryElsewhere(profile, machine, plan, tensor);
  if (!what_if.ok()) return what_if.status();
  return absl::StrCat("as planned: ", FormatSeconds(what_if->as_planned.seconds), " a step, ",
                      FormatSeconds(what_if->as_planned.exposed_seconds), " of it waiting; ",
                      FormatBytes(what_if->as_planned.in), " in, ", FormatBytes(what_if->as_planned.out),
                      " out\nelsewhere, the rest of the plan as it is:\n  in fast memory all the time: ",
                      ElsewhereText(profile, what_if->fast),
                      "\n  in slow memory, brought in by each layer's touch: ", ElsewhereText(profile, what_if->slow),
                      "\n");
}

absl::StatusOr<std::string> LayerElsewhere(const plan::MigrationPlan& plan, const profile::Profile& profile,
                                           const plan::Machine& machine, LayerId layer) {
  if (layer.value() < 0 || layer.value() >= std::ssize(profile.layers)) {
    return absl::NotFoundError(absl::StrCat("has no layer ", layer.value()));
  }
  std::vector<const profile::Tensor*> touched;
  for (const profile::Tensor& tensor : profile.tensors) {
    if (std::any_of(tensor.accesses.begin(), tensor.accesses.end(),
                    [layer](const profile::Access& access) { return access.layer == layer; })) {
      touched.push_back(&tensor);
    }
  }
  std::stable_sort(touched.begin(), touched.end(), [](const auto* a, const auto* b) { return a->bytes > b->bytes; });
  if (touched.size() > kMostTensors) touched.resize(kMostTensors);
  TextTable table({">tensor", ">bytes", "always fast: step time", "leaves instead", "always slow: step time"});
  double waits = 0;
  for (const profile::Tensor* tensor : touched) {
    const absl::StatusOr<plan::WhatIf> what_if = plan::TryElsewhere(profile, machine, plan, tensor->id);
    if (!what_if.ok()) return what_if.status();
    waits = what_if->as_planned.exposed_per_layer[layer.value()];
    const plan::Elsewhere& fast = what_if->fast;
    table.Add({absl::StrCat(tensor->id.value()), FormatBytes(tensor->bytes),
               fast.possible ? Change(fast.seconds) : "impossible", Leaving(profile, fast.leaves),
               Change(what_if->slow.seconds)});
  }
  if (touched.empty()) return std::string("it touches no tensor\n");
  return absl::StrCat("it waits ", FormatSeconds(waits),
                      " for data, as planned\nits largest tensors elsewhere, the rest of the plan as it is:\n",
                      table.Format());
}

}  // namespace thermocline::cli

#include "src/cli/explain_plan.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/parse_units.h"
#include "src/cli/text_table.h"

namespace thermocline::cli {
namespace {

// Granules [first, last] of the arena.
struct GranuleRange {
  int64_t first = 0;
  int64_t last = -1;
  bool Has(GranuleId id) const { return id.value() >= first && id.value() <= last; }
};

GranuleRange GranulesOf(const plan::MigrationPlan& plan, const plan::Placement& placement) {
  const int64_t size = plan.granule_bytes.count();
  if (size <= 0 || placement.bytes <= Bytes(0)) return {};
  return {placement.offset / size, (placement.offset + placement.bytes.count() - 1) / size};
}

absl::string_view RegionText(plan::Region region) {
  switch (region) {
    case plan::Region::kShortLived:
      return "short-lived region: always fast, because it lives within one layer or is always wanted";
    case plan::Region::kMigratable:
      return "migratable: its granules move between fast and slow memory";
    case plan::Region::kFixed:
      return "fixed: it was allocated before the plan, keeps its address, and its granules move";
  }
  return "unknown";
}

std::string LayerText(const profile::Profile* profile, int64_t layer) {
  if (profile == nullptr || layer < 0 || layer >= profile->layers.size() || profile->layers[layer].name.empty()) {
    return absl::StrCat("layer ", layer);
  }
  return absl::StrCat("layer ", layer, " (", Printable(profile->layers[layer].name), ")");
}

// "12, 14-17": ids in order, runs joined.
std::string IdsText(std::vector<int64_t> ids) {
  std::sort(ids.begin(), ids.end());
  std::vector<std::string> parts;
  for (size_t i = 0; i < ids.size();) {
    size_t last = i;
    while (last + 1 < ids.size() && ids[last + 1] <= ids[last] + 1) ++last;
    parts.push_back(last > i ? absl::StrCat(ids[i], "-", ids[last]) : absl::StrCat(ids[i]));
    i = last + 1;
  }
  return parts.empty() ? "none" : absl::StrJoin(parts, ", ");
}

std::string IdsText(const std::vector<GranuleId>& ids) {
  std::vector<int64_t> values;
  for (const GranuleId id : ids) values.push_back(id.value());
  return IdsText(std::move(values));
}

// The tensors that have a byte in one of the granules, the largest first, eight at most.
std::string TensorsIn(const plan::MigrationPlan& plan, const std::vector<GranuleId>& granules) {
  std::vector<const plan::Placement*> found;
  for (const plan::Placement& placement : plan.placements) {
    const GranuleRange range = GranulesOf(plan, placement);
    if (std::any_of(granules.begin(), granules.end(), [&](GranuleId id) { return range.Has(id); })) {
      found.push_back(&placement);
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->bytes > b->bytes; });
  std::vector<std::string> parts;
  for (size_t i = 0; i < found.size() && i < 8; ++i) {
    parts.push_back(absl::StrCat(found[i]->tensor.value(), " (", FormatBytes(found[i]->bytes), ")"));
  }
  if (found.size() > 8) parts.push_back(absl::StrCat(found.size() - 8, " more"));
  return absl::StrJoin(parts, ", ");
}

std::string ActionText(const plan::MigrationPlan& plan, absl::string_view what,
                       const std::vector<GranuleId>& granules) {
  if (granules.empty()) return "";
  return absl::StrCat(what, ": granules ", IdsText(granules), "\n    tensors there: ", TensorsIn(plan, granules), "\n");
}

// What the plan does to the tensor's granules when a layer starts; "" when nothing.
std::string EventsText(const plan::LayerActions& actions, const GranuleRange& range) {
  const auto count = [&](const std::vector<GranuleId>& ids) {
    return std::count_if(ids.begin(), ids.end(), [&](GranuleId id) { return range.Has(id); });
  };
  std::vector<std::string> parts;
  const auto add = [&](int64_t granules, absl::string_view what) {
    if (granules > 0) parts.push_back(absl::StrCat(what, " ", granules));
  };
  add(count(actions.write_back), "write back");
  add(count(actions.release), "release");
  add(count(actions.provide), "provide");
  std::vector<int64_t> deadlines;
  for (const plan::Fetch& fetch : actions.fetch) {
    if (range.Has(fetch.granule)) deadlines.push_back(fetch.deadline.value());
  }
  if (!deadlines.empty()) {
    const auto [first, last] = std::minmax_element(deadlines.begin(), deadlines.end());
    parts.push_back(absl::StrCat("fetch ", deadlines.size(), " by layer ", *first,
                                 *last == *first ? "" : absl::StrCat("-", *last)));
  }
  return absl::StrJoin(parts, ", ");
}

const profile::Tensor* FindTensor(const profile::Profile* profile, TensorId id) {
  if (profile == nullptr) return nullptr;
  for (const profile::Tensor& tensor : profile->tensors) {
    if (tensor.id == id) return &tensor;
  }
  return nullptr;
}

// The uses of the tensor and the longest stretch of compute between two of them: what its place is decided by.
std::string UsesText(const profile::Profile& profile, const profile::Tensor& tensor) {
  const std::vector<profile::Access>& uses = tensor.accesses;
  if (uses.empty()) return "no layer touches it\n";
  std::vector<std::string> parts;
  for (const profile::Access& use : uses) {
    parts.push_back(absl::StrCat(use.layer.value(), use.read ? " read" : "",
                                 use.overwrite ? " overwritten"
                                 : use.write   ? " written"
                                               : ""));
  }
  std::string text = absl::StrCat("touched in layers: ", absl::StrJoin(parts, ", "), "\n");
  const int64_t count = profile.layers.size();
  double longest = -1;
  int64_t from = 0, to = 0;
  for (size_t i = 0; i < uses.size(); ++i) {
    const bool wraps = i + 1 == uses.size();
    if (wraps && !tensor.persistent() && !(tensor.birth > tensor.death && tensor.birth != kNoLayer)) break;
    const int64_t begin = uses[i].layer.value();
    const int64_t end = wraps ? uses[0].layer.value() + count : uses[i + 1].layer.value();
    double seconds = 0;
    for (int64_t layer = begin + 1; layer < end; ++layer) seconds += profile.layers[layer % count].seconds;
    if (seconds > longest) std::tie(longest, from, to) = std::tuple(seconds, begin, end % count);
  }
  if (longest < 0) return text;
  return absl::StrCat(text, "longest gap: from ", LayerText(&profile, from), " to ", LayerText(&profile, to), ", ",
                      FormatSeconds(longest), " of other layers' compute to hide its way out and back behind\n");
}

}  // namespace

std::string ExplainPlan(const plan::MigrationPlan& plan, const profile::Profile* profile) {
  std::string text =
      absl::StrCat("planner ", plan.planner, ", budget ", FormatBytes(plan.budget), " in granules of ",
                   FormatBytes(plan.granule_bytes),
                   plan.interval_layers > 0 ? absl::StrCat(", interval of ", plan.interval_layers, " layers") : "",
                   "\n", plan.placements.size(), " tensors in ", FormatBytes(Bytes(plan.layout_end - plan.layout_base)),
                   " of addresses, of them ", FormatBytes(plan.short_lived_bytes), " always-fast short-lived region\n",
                   "expects ", FormatSeconds(plan.predicted_seconds), " a step, ",
                   FormatSeconds(plan.predicted_exposed_seconds), " of it exposed; ", FormatBytes(plan.predicted_in),
                   " in, ", FormatBytes(plan.predicted_out), " out\n\n", "Granules, when each layer starts:\n");
  TextTable table({">layer", "name", ">needs", ">fetch", ">write back", ">release", ">provide"});
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const plan::LayerActions& actions = plan.layers[i];
    table.Add({absl::StrCat(i), profile != nullptr && i < profile->layers.size() ? profile->layers[i].name : "",
               absl::StrCat(actions.need.size()), absl::StrCat(actions.fetch.size()),
               absl::StrCat(actions.write_back.size()), absl::StrCat(actions.release.size()),
               absl::StrCat(actions.provide.size())});
  }
  return text + table.Format();
}

absl::StatusOr<std::string> ExplainLayer(const plan::MigrationPlan& plan, const profile::Profile* profile,
                                         LayerId layer) {
  const int64_t index = layer.value();
  if (index < 0 || index >= plan.layers.size()) {
    return absl::NotFoundError(absl::StrCat("has no layer ", index, "; it has ", plan.layers.size(), ", from 0 on"));
  }
  const plan::LayerActions& actions = plan.layers[index];
  std::string text = absl::StrCat("when ", LayerText(profile, index), " starts, in this order:\n");
  const size_t empty = text.size();
  absl::StrAppend(&text, ActionText(plan, "  release (their frames are free from now on)", actions.release),
                  ActionText(plan, "  write back (last written before)", actions.write_back),
                  ActionText(plan, "  provide a frame (a tensor is born there)", actions.provide));
  std::vector<GranuleId> fetched;
  for (const plan::Fetch& fetch : actions.fetch) fetched.push_back(fetch.granule);
  absl::StrAppend(&text, ActionText(plan, "  fetch", fetched));
  for (size_t i = 0; i < actions.fetch.size();) {
    std::vector<GranuleId> same;
    const LayerId deadline = actions.fetch[i].deadline;
    for (; i < actions.fetch.size() && actions.fetch[i].deadline == deadline; ++i)
      same.push_back(actions.fetch[i].granule);
    absl::StrAppend(&text, "    by ", LayerText(profile, deadline.value()), ": ", IdsText(same), "\n");
  }
  absl::StrAppend(&text, ActionText(plan, "  needs before it computes", actions.need));
  if (text.size() == empty) absl::StrAppend(&text, "  nothing: all that it needs is there\n");
  return text;
}

absl::StatusOr<std::string> ExplainTensor(const plan::MigrationPlan& plan, const profile::Profile* profile,
                                          TensorId tensor) {
  const auto found = std::find_if(plan.placements.begin(), plan.placements.end(),
                                  [&](const plan::Placement& placement) { return placement.tensor == tensor; });
  if (found == plan.placements.end()) {
    return absl::NotFoundError(
        absl::StrCat("has no tensor ", tensor.value(), "; `profile show` lists a trace's tensors"));
  }
  const GranuleRange range = GranulesOf(plan, *found);
  std::string text =
      absl::StrCat("tensor ", tensor.value(), ", ", FormatBytes(found->bytes), ", at offset ", found->offset,
                   ", granules ", range.first, "-", range.last, "\n", RegionText(found->region), "\n");
  if (const profile::Tensor* used = FindTensor(profile, tensor)) absl::StrAppend(&text, UsesText(*profile, *used));
  std::string events;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const std::string what = EventsText(plan.layers[i], range);
    if (!what.empty()) absl::StrAppend(&events, "  ", LayerText(profile, static_cast<int64_t>(i)), ": ", what, "\n");
  }
  if (events.empty()) return absl::StrCat(text, "its granules never move: they stay in fast memory\n");
  return absl::StrCat(text, "its granules (shared with their other tensors), when a layer starts:\n", events);
}

}  // namespace thermocline::cli

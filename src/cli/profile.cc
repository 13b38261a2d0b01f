// thermocline profile show FILE

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/parse_units.h"
#include "src/cli/command.h"
#include "src/cli/planning.h"
#include "src/cli/text_table.h"
#include "src/cli/trace_stats.h"
#include "src/trace/trace_file.h"

namespace thermocline::cli {
namespace {

struct Flags {
  std::string file;
  int tensors = 20;
  bool json = false;
};

std::string LayersAsText(const profile::Profile& profile) {
  const std::vector<LayerStats> stats = ComputeLayerStats(profile);
  TextTable table({">layer", "name", ">time", ">alive", ">touched", ">floor"});
  for (size_t i = 0; i < profile.layers.size(); ++i) {
    const profile::Layer& layer = profile.layers[i];
    table.Add({absl::StrCat(i), layer.name, FormatSeconds(layer.seconds), FormatBytes(stats[i].alive),
               FormatBytes(stats[i].touched), layer.floor > Bytes(0) ? FormatBytes(layer.floor) : "-"});
  }
  return table.Format();
}

std::string LayerName(LayerId layer) { return layer == kNoLayer ? "-" : absl::StrCat(layer.value()); }

std::string AccessText(const profile::Tensor& tensor) {
  std::string text;
  size_t shown = 0;
  for (const profile::Access& access : tensor.accesses) {
    if (++shown > 8) return absl::StrCat(text, " and ", tensor.accesses.size() - 8, " more");
    absl::StrAppend(&text, text.empty() ? "" : " ", access.layer.value(), access.read ? "r" : "",
                    access.overwrite ? "o"
                    : access.write   ? "w"
                                     : "");
  }
  return text;
}

std::string TensorsAsText(const profile::Profile& profile, int most) {
  std::vector<const profile::Tensor*> largest;
  for (const profile::Tensor& tensor : profile.tensors) largest.push_back(&tensor);
  std::stable_sort(largest.begin(), largest.end(), [](const auto* a, const auto* b) { return a->bytes > b->bytes; });
  if (static_cast<int>(largest.size()) > most) largest.resize(most);
  TextTable table({">tensor", ">bytes", ">born", ">dies", "touched in layer (r read, w write, o overwrite)"});
  for (const profile::Tensor* tensor : largest) {
    table.Add({absl::StrCat(tensor->id.value()), FormatBytes(tensor->bytes), LayerName(tensor->birth),
               LayerName(tensor->death), AccessText(*tensor)});
  }
  return absl::StrCat("The largest ", largest.size(), " of ", profile.tensors.size(), " tensors:\n", table.Format());
}

std::string AsJson(const profile::Profile& profile) {
  const std::vector<LayerStats> stats = ComputeLayerStats(profile);
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (size_t i = 0; i < profile.layers.size(); ++i) {
    const profile::Layer& layer = profile.layers[i];
    layers.push_back({{"name", layer.name},
                      {"seconds", layer.seconds},
                      {"alive_bytes", stats[i].alive.count()},
                      {"touched_bytes", stats[i].touched.count()},
                      {"floor_bytes", layer.floor.count()}});
  }
  const nlohmann::ordered_json json = {
      {"model", profile.model}, {"batch", profile.batch}, {"tensors", profile.tensors.size()}, {"layers", layers}};
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

absl::Status Show(const Flags& flags) {
  const absl::StatusOr<trace::TraceFile> trace = ReadTraceFile(flags.file);
  if (!trace.ok()) return trace.status();
  const profile::Profile& profile = trace->profile;
  if (flags.json) {
    std::cout << AsJson(profile);
    return absl::OkStatus();
  }
  std::cout << "model " << Printable(profile.model) << ", batch " << profile.batch << "\n\n"
            << LayersAsText(profile) << "\n"
            << TensorsAsText(profile, flags.tensors);
  return absl::OkStatus();
}

}  // namespace

void RegisterProfile(CLI::App& app) {
  CLI::App* const profile = app.add_subcommand("profile", "Look at profiles, as tc_save_profile writes them");
  profile->require_subcommand(1);
  CLI::App* const show = profile->add_subcommand("show", "Print layers, largest tensors and what touches them");
  const auto flags = std::make_shared<Flags>();
  show->add_option("FILE", flags->file, "A profile or trace: plain, .gz or .zst")->required();
  show->add_option("--tensors", flags->tensors, "How many tensors to list")
      ->check(CLI::Range(0, 1'000'000'000))
      ->capture_default_str();
  show->add_flag("--json", flags->json, "Print one JSON object");
  SetAction(show, [flags] { return Show(*flags); });
}

}  // namespace thermocline::cli

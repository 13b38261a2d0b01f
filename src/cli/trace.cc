// thermocline trace stats|validate FILE

#include <cmath>
#include <iostream>
#include <memory>
#include <string>

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
  bool json = false;
};

std::string StatsAsJson(const profile::Profile& profile, const TraceStats& stats) {
  const auto group = [](const TensorGroup& g) {
    return nlohmann::ordered_json{{"count", g.count}, {"bytes", g.bytes.count()}};
  };
  const nlohmann::ordered_json json = {{"model", profile.model},
                                       {"batch", profile.batch},
                                       {"page_bytes", profile.page_bytes.count()},
                                       {"layers", profile.layers.size()},
                                       {"seconds", stats.seconds},
                                       {"peak_bytes", stats.peak.count()},
                                       {"floor_bytes", stats.floor.bytes.count()},
                                       {"floor_layer", stats.floor.layer.value()},
                                       {"touched_bytes", stats.touched.count()},
                                       {"tensors", group(stats.all)},
                                       {"persistent", group(stats.persistent)},
                                       {"short_lived", group(stats.short_lived)}};
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string StatsAsText(const profile::Profile& profile, const TraceStats& stats) {
  const auto group = [](const TensorGroup& g) { return absl::StrCat(FormatBytes(g.bytes), " in ", g.count); };
  const double share = stats.peak > Bytes(0) ? 100.0 * stats.floor.bytes.count() / stats.peak.count() : 0;
  TextTable table({"", ""});
  table.Add({"model", profile.model});
  table.Add({"batch", absl::StrCat(profile.batch)});
  table.Add({"layers", absl::StrCat(profile.layers.size())});
  table.Add({"step, all operands fast", FormatSeconds(stats.seconds)});
  table.Add({"peak of live bytes", FormatBytes(stats.peak)});
  table.Add({"floor: most that one layer needs", absl::StrCat(FormatBytes(stats.floor.bytes), ", ", std::lround(share),
                                                              "% of the peak, layer ", stats.floor.layer.value())});
  table.Add({"tensors", group(stats.all)});
  table.Add({"  live across steps", group(stats.persistent)});
  table.Add({"  short-lived (one layer)", group(stats.short_lived)});
  table.Add({"touched, summed over layers", FormatBytes(stats.touched)});
  const std::string text = table.Format();
  return text.substr(text.find('\n') + 1);  // without the empty header
}

absl::Status Stats(const Flags& flags) {
  const absl::StatusOr<trace::TraceFile> trace = ReadTraceFile(flags.file);
  if (!trace.ok()) return trace.status();
  const TraceStats stats = ComputeStats(trace->profile);
  std::cout << (flags.json ? StatsAsJson(trace->profile, stats) : StatsAsText(trace->profile, stats));
  return absl::OkStatus();
}

absl::Status ValidateTrace(const Flags& flags) {
  const absl::StatusOr<trace::TraceFile> trace = ReadTraceFile(flags.file);
  if (!trace.ok()) return trace.status();
  const size_t layers = trace->profile.layers.size();
  const size_t tensors = trace->profile.tensors.size();
  if (flags.json) {
    std::cout << nlohmann::ordered_json{{"valid", true}, {"layers", layers}, {"tensors", tensors}}.dump() << "\n";
  } else {
    std::cout << flags.file << ": a trace of format 1, " << layers << " layers, " << tensors << " tensors\n";
  }
  return absl::OkStatus();
}

}  // namespace

void RegisterTrace(CLI::App& app) {
  CLI::App* const trace = app.add_subcommand("trace", "Look at trace files (docs/formats.md)");
  trace->require_subcommand(1);
  const auto flags = std::make_shared<Flags>();
  const auto add = [&](const char* name, const char* help) {
    CLI::App* const subcommand = trace->add_subcommand(name, help);
    subcommand->add_option("FILE", flags->file, "A trace: plain, .gz or .zst")->required();
    subcommand->add_flag("--json", flags->json, "Print one JSON object");
    return subcommand;
  };
  SetAction(add("stats", "Print what the trace amounts to"), [flags] { return Stats(*flags); });
  SetAction(add("validate", "Check the file; say the line and the reason of the first thing wrong"),
            [flags] { return ValidateTrace(*flags); });
}

}  // namespace thermocline::cli

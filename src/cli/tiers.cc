// `thermocline tiers`: the memories of this machine and the slow tier, with what is said or measured of each.

#include "src/cli/tiers.h"

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <utility>

#include "CLI/Config.hpp"  // what App.hpp declares and does not define
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/parse_units.h"
#include "src/cli/command.h"
#include "src/cli/progress.h"
#include "src/cli/text_table.h"
#include "src/tier/measure_link.h"
#include "src/tier/tier_spec.h"
#include "src/topology/discover.h"
#include "src/topology/measure.h"

namespace thermocline::cli {
namespace {

using Json = nlohmann::ordered_json;
using topology::Figure;
using topology::FigureSourceName;
using topology::MemoryNode;

constexpr Bytes kGranule = MiB(2);
constexpr int kScratchGranules = 16;

struct TiersFlags {
  std::string slow = "file:/var/tmp";
  bool measure = false;
  bool json = false;
};

// Moves a few granules to the tier and back.
void MeasureSlowTier(tier::BlockTier& tier, SlowTierFigures* figures) {
  const Progress progress(absl::StrCat("measuring ", figures->describe));
  const auto bytes = static_cast<size_t>((kGranule * kScratchGranules).count());
  const std::unique_ptr<char, void (*)(void*)> scratch(static_cast<char*>(aligned_alloc(4096, bytes)), free);
  if (scratch == nullptr) {
    figures->status = absl::ResourceExhaustedError(absl::StrCat("no room for ", bytes, " bytes to measure with"));
    return;
  }
  memset(scratch.get(), 0x5A, bytes);
  const auto speed = tier::MeasureLink(tier, absl::MakeSpan(scratch.get(), bytes));
  figures->status = speed.status();
  if (!speed.ok()) return;
  figures->in = speed->in;
  figures->out = speed->out;
  figures->mixed = speed->mixed;
  figures->latency_seconds = speed->latency_seconds;
}

SlowTierFigures AskSlowTier(const std::string& spec, const tier::TierRequest& request, bool measure) {
  SlowTierFigures figures;
  figures.spec = spec;
  const auto tier = tier::MakeBlockTier(request, kGranule);
  figures.status = tier.status();
  if (!tier.ok()) return figures;
  figures.describe = (*tier)->Describe();
  figures.capacity = (*tier)->capacity();
  figures.addressable = (*tier)->addressable();
  if (request.kind == tier::TierRequest::Kind::kEmulated) {
    figures.in = request.in;
    figures.out = request.out;
    figures.latency_seconds = request.latency_seconds;
  }
  if (measure) MeasureSlowTier(**tier, &figures);
  return figures;
}

absl::Status Tiers(const TiersFlags& flags) {
  const auto request = tier::ParseTierSpec(flags.slow);
  if (!request.ok()) return UsageError(absl::StrCat("--slow ", flags.slow, ": ", request.status().message()));
  topology::MemoryMeasurer measurer;
  topology::DiscoverOptions options;
  if (flags.measure) options.measurer = &measurer;
  TiersReport report;
  {
    const Progress progress(flags.measure ? "measuring memory" : "asking which memories there are");
    auto topology = topology::DiscoverTopology(options);
    if (!topology.ok()) return topology.status();
    report.topology = *std::move(topology);
  }
  report.slow = AskSlowTier(flags.slow, *request, flags.measure);
  std::cout << (flags.json ? TiersReportToJson(report) : FormatTiersReport(report));
  return absl::OkStatus();
}

std::string RateOf(const Figure<BytesPerSecond>& figure) {
  return figure.known() ? absl::StrCat(FormatRate(figure.value), " (", FigureSourceName(figure.source), ")")
                        : "unknown";
}

std::string LatencyOf(const Figure<double>& figure) {
  return figure.known() ? absl::StrCat(FormatSeconds(figure.value), " (", FigureSourceName(figure.source), ")")
                        : "unknown";
}

std::string SlowInWords(const SlowTierFigures& slow) {
  if (!slow.status.ok()) return absl::StrCat("Slow tier ", slow.spec, ": ", slow.status.message(), "\n");
  std::string text = absl::StrCat("Slow tier ", slow.describe, ": ", FormatBytes(slow.capacity), " of room, ",
                                  slow.addressable ? "byte-addressable" : "not byte-addressable");
  if (slow.in.rate() == 0) {
    absl::StrAppend(&text, "; its speed was not measured (thermocline tiers --measure).\n");
    return text;
  }
  absl::StrAppend(&text, ", ", FormatRate(slow.in), " in, ", FormatRate(slow.out), " out");
  if (slow.mixed.rate() > 0) absl::StrAppend(&text, ", ", FormatRate(slow.mixed), " both ways together");
  if (slow.latency_seconds > 0) absl::StrAppend(&text, ", ", FormatSeconds(slow.latency_seconds), " latency");
  return text + ".\n";
}

Json RateToJson(const Figure<BytesPerSecond>& figure) {
  if (!figure.known()) return nullptr;
  return {{"value", figure.value.rate()}, {"source", FigureSourceName(figure.source)}};
}

Json NodeToJson(const MemoryNode& node) {
  Json latency;
  if (node.latency_seconds.known()) {
    latency = {{"value", node.latency_seconds.value}, {"source", FigureSourceName(node.latency_seconds.source)}};
  }
  return {{"node", node.id.value()},
          {"bytes", node.bytes_source == topology::FigureSource::kUnknown ? Json() : Json(node.bytes.count())},
          {"free_bytes", node.free.has_value() ? Json(node.free->count()) : Json()},
          {"has_cpus", node.has_cpus},
          {"slow", node.slow},
          {"byte_addressable", true},  // it is memory
          {"kernel_tier", node.kernel_tier.has_value() ? Json(*node.kernel_tier) : Json()},
          {"distances", node.distances},
          {"read_bytes_per_second", RateToJson(node.read_bandwidth)},
          {"write_bytes_per_second", RateToJson(node.write_bandwidth)},
          {"latency_seconds", std::move(latency)}};
}

Json KnownRate(BytesPerSecond rate) { return rate.rate() > 0 ? Json(rate.rate()) : Json(); }

Json SlowToJson(const SlowTierFigures& slow) {
  Json json = {{"spec", slow.spec}, {"usable", slow.status.ok()}};
  json["tier"] = slow.describe.empty() ? Json() : Json(slow.describe);
  json["error"] = slow.status.ok() ? Json() : Json(std::string(slow.status.message()));
  json["capacity_bytes"] = slow.describe.empty() ? Json() : Json(slow.capacity.count());
  json["byte_addressable"] = slow.describe.empty() ? Json() : Json(slow.addressable);
  json["in_bytes_per_second"] = KnownRate(slow.in);
  json["out_bytes_per_second"] = KnownRate(slow.out);
  json["mixed_bytes_per_second"] = KnownRate(slow.mixed);
  json["latency_seconds"] = slow.latency_seconds > 0 ? Json(slow.latency_seconds) : Json();
  return json;
}

}  // namespace

std::string FormatTiersReport(const TiersReport& report) {
  TextTable table({">node", ">memory", "use as", "byte-addressable", "CPUs", "read", "write", "latency"});
  for (int index : topology::FastestFirst(report.topology)) {
    const MemoryNode& node = report.topology.nodes[index];
    const bool size_known = node.bytes_source != topology::FigureSource::kUnknown;
    table.Add({absl::StrCat(node.id.value()), size_known ? FormatBytes(node.bytes) : "unknown",
               node.slow ? "slow tier" : "fast memory", "yes", node.has_cpus ? "yes" : "none",
               RateOf(node.read_bandwidth), RateOf(node.write_bandwidth), LatencyOf(node.latency_seconds)});
  }
  std::string text = table.Format();
  for (const std::string& remark : report.topology.remarks) absl::StrAppend(&text, Printable(remark), "\n");
  absl::StrAppend(&text, "\n", SlowInWords(report.slow));
  return text;
}

std::string TiersReportToJson(const TiersReport& report) {
  Json nodes = Json::array();
  for (const MemoryNode& node : report.topology.nodes) nodes.push_back(NodeToJson(node));
  const Json document = {
      {"nodes", std::move(nodes)}, {"remarks", report.topology.remarks}, {"slow", SlowToJson(report.slow)}};
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void RegisterTiers(CLI::App& app) {
  CLI::App* command = app.add_subcommand("tiers", "List this machine's memories and its slow tier, fastest first");
  const auto flags = std::make_shared<TiersFlags>();
  command->add_option("--slow", flags->slow, "The slow tier: file:DIR, numa:NODE, emulated:...")->capture_default_str();
  command->add_flag("--measure", flags->measure,
                    "Measure bandwidth and latency; what is measured overrides what is said");
  command->add_flag("--json", flags->json, "Print one JSON document");
  SetAction(command, [flags] { return Tiers(*flags); });
}

}  // namespace thermocline::cli

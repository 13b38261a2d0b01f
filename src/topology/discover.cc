#include "src/topology/discover.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/topology/sysfs.h"
#include "src/topology/text_file.h"

namespace thermocline::topology {
namespace {

// MemTotal of /proc/meminfo; zero when it can't be read.
Bytes MemTotal(const std::string& proc_root) {
  const auto text = ReadTextFile(absl::StrCat(proc_root, "/meminfo"));
  if (!text.ok()) return Bytes(0);
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t kib = 0;
    if (words.size() >= 2 && words[0] == "MemTotal:" && absl::SimpleAtoi(words[1], &kib)) return KiB(kib);
  }
  return Bytes(0);
}

MemoryNode OneNode(const std::string& proc_root) {
  MemoryNode node;
  node.id = NodeId(0);
  node.bytes = MemTotal(proc_root);
  if (node.bytes > Bytes(0)) node.bytes_source = FigureSource::kSysfs;
  return node;
}

// Memory that was plugged into a virtual machine may be missing from its node's account. With one node it has all.
void CorrectOnlyNode(const std::string& proc_root, Topology* topology) {
  if (topology->nodes.size() != 1) return;
  MemoryNode& node = topology->nodes.front();
  if (const Bytes total = MemTotal(proc_root); total > node.bytes) {
    node.bytes = total;
    node.bytes_source = FigureSource::kSysfs;
  }
}

template <typename T>
void FillIn(const Figure<T>& from, Figure<T>* to) {
  if (!to->known()) *to = from;
}

// Adds to `nodes`, which hwloc gave, what sysfs knows and hwloc does not. A node that only sysfs has is taken over.
void Merge(std::vector<MemoryNode> other, std::vector<MemoryNode>* nodes) {
  for (MemoryNode& source : other) {
    const auto at =
        std::find_if(nodes->begin(), nodes->end(), [&source](const MemoryNode& node) { return node.id == source.id; });
    if (at == nodes->end()) {
      nodes->push_back(std::move(source));
      continue;
    }
    if (at->bytes_source == FigureSource::kUnknown) {
      at->bytes = source.bytes;
      at->bytes_source = source.bytes_source;
    }
    at->free = source.free;
    at->has_cpus = source.has_cpus;  // the kernel knows; hwloc names the nearest CPUs where a node has none
    FillIn(source.read_bandwidth, &at->read_bandwidth);
    FillIn(source.write_bandwidth, &at->write_bandwidth);
    FillIn(source.latency_seconds, &at->latency_seconds);
    if (at->distances.empty()) at->distances = std::move(source.distances);
    if (!at->kernel_tier.has_value()) at->kernel_tier = source.kernel_tier;
  }
  std::sort(nodes->begin(), nodes->end(), [](const MemoryNode& a, const MemoryNode& b) { return a.id < b.id; });
}

void MeasureAll(NodeMeasurer* measurer, Topology* topology) {
  const bool bind = topology->nodes.size() > 1;
  for (MemoryNode& node : topology->nodes) {
    const auto figures = measurer->Measure(node.id, bind);
    if (!figures.ok()) {
      topology->remarks.push_back(
          absl::StrCat("Node ", node.id.value(), " could not be measured: ", figures.status().message(), "."));
      continue;
    }
    node.read_bandwidth = {figures->read, FigureSource::kMeasured};
    node.write_bandwidth = {figures->write, FigureSource::kMeasured};
    node.latency_seconds = {figures->latency_seconds, FigureSource::kMeasured};
  }
}

}  // namespace

absl::StatusOr<Topology> DiscoverTopology(const DiscoverOptions& options) {
  Topology topology;
  if (options.hwloc.kind != HwlocInput::Kind::kNone) {
    auto nodes = ReadHwlocNodes(options.hwloc);
    if (nodes.ok()) {
      topology.nodes = *std::move(nodes);
    } else if (options.hwloc.kind != HwlocInput::Kind::kThisMachine) {
      return nodes.status();
    } else {
      topology.remarks.push_back(absl::StrCat("hwloc was of no use: ", nodes.status().message(), "."));
    }
  }
  if (!options.sysfs_root.empty()) {
    auto nodes = ReadSysfsNodes(options.sysfs_root);
    if (nodes.ok()) {
      Merge(*std::move(nodes), &topology.nodes);
    } else {
      topology.remarks.push_back(absl::StrCat("sysfs was of no use: ", nodes.status().message(), "."));
    }
  }
  if (topology.nodes.empty()) {
    topology.nodes.push_back(OneNode(options.proc_root));
    topology.remarks.push_back("Nothing tells memory nodes apart here, so all of memory is taken for node 0.");
  }
  if (options.hwloc.kind == HwlocInput::Kind::kThisMachine || options.hwloc.kind == HwlocInput::Kind::kNone) {
    CorrectOnlyNode(options.proc_root, &topology);
  }
  if (options.measurer != nullptr) MeasureAll(options.measurer, &topology);
  MarkSlowNodes(&topology);
  return topology;
}

}  // namespace thermocline::topology

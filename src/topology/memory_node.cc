#include "src/topology/memory_node.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>

namespace thermocline::topology {
namespace {

// A measurement of equal memories may differ by less.
constexpr double kFaster = 1.2;

double BandwidthOrZero(const MemoryNode& node) {
  return node.read_bandwidth.known() ? node.read_bandwidth.value.rate() : 0;
}

double LatencyOrWorst(const MemoryNode& node) {
  return node.latency_seconds.known() ? node.latency_seconds.value : std::numeric_limits<double>::infinity();
}

// The first and last kernel tiers, when every node has one.
std::optional<std::pair<int, int>> KernelTiers(const Topology& topology) {
  int first = std::numeric_limits<int>::max();
  int last = std::numeric_limits<int>::min();
  for (const MemoryNode& node : topology.nodes) {
    if (!node.kernel_tier.has_value()) return std::nullopt;
    first = std::min(first, *node.kernel_tier);
    last = std::max(last, *node.kernel_tier);
  }
  if (first == std::numeric_limits<int>::max()) return std::nullopt;
  return std::make_pair(first, last);
}

}  // namespace

const char* FigureSourceName(FigureSource source) {
  switch (source) {
    case FigureSource::kUnknown:
      return "unknown";
    case FigureSource::kSysfs:
      return "sysfs";
    case FigureSource::kHwloc:
      return "hwloc";
    case FigureSource::kMeasured:
      return "measured";
  }
  return "unknown";
}

void MarkSlowNodes(Topology* topology) {
  const auto tiers = KernelTiers(*topology);
  if (tiers.has_value() && tiers->first != tiers->second) {
    for (MemoryNode& node : topology->nodes) node.slow = *node.kernel_tier > tiers->first;
    return;
  }
  double with_cpus = 0;
  bool any_cpus = false;
  for (const MemoryNode& node : topology->nodes) {
    any_cpus |= node.has_cpus;
    if (node.has_cpus) with_cpus = std::max(with_cpus, BandwidthOrZero(node));
  }
  for (MemoryNode& node : topology->nodes) {
    // Known to be faster only when both sides are known.
    const bool faster = with_cpus > 0 && BandwidthOrZero(node) > kFaster * with_cpus;
    node.slow = any_cpus && !node.has_cpus && !faster;
  }
}

std::vector<int> FastestFirst(const Topology& topology) {
  std::vector<int> order(topology.nodes.size());
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&topology](int index) {
    const MemoryNode& node = topology.nodes[index];
    return std::make_tuple(node.slow, -BandwidthOrZero(node), LatencyOrWorst(node), node.id);
  };
  std::sort(order.begin(), order.end(), [&key](int a, int b) { return key(a) < key(b); });
  return order;
}

}  // namespace thermocline::topology

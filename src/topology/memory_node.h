// MemoryNode and Topology: which memories this machine has, and how fast each is said, or measured, to be.
//
// Thread safety: plain values. Errors: none; a figure that nobody knows is marked as such, never guessed.
#ifndef THERMOCLINE_TOPOLOGY_MEMORY_NODE_H_
#define THERMOCLINE_TOPOLOGY_MEMORY_NODE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/strong_int.h"
#include "src/base/units.h"

namespace thermocline::topology {

// The kernel's number of a memory node.
using NodeId = StrongInt<struct NodeIdTag, int32_t>;

// Who says a figure. A later one overrides an earlier one.
enum class FigureSource : uint8_t { kUnknown, kSysfs, kHwloc, kMeasured };

// "unknown", "sysfs", "hwloc", "measured". Static.
const char* FigureSourceName(FigureSource source);

// A figure and who says it. `value` means nothing while the source is kUnknown.
template <typename T>
struct Figure {
  T value{};
  FigureSource source = FigureSource::kUnknown;

  bool known() const { return source != FigureSource::kUnknown; }
};

struct MemoryNode {
  NodeId id;
  Bytes bytes;  // memory that the node has; 0 when nobody says
  FigureSource bytes_source = FigureSource::kUnknown;
  std::optional<Bytes> free;  // of them free now; nullopt when nobody says
  bool has_cpus = true;
  // As seen by the best initiator: the CPUs nearest to the node.
  Figure<BytesPerSecond> read_bandwidth;
  Figure<BytesPerSecond> write_bandwidth;
  Figure<double> latency_seconds;  // of a dependent read
  // SLIT distances to the nodes, in the order of the topology's list; 10 is local. Empty when unknown.
  std::vector<int> distances;
  // The kernel's memory tier (lower is faster), where it has memory_tiering.
  std::optional<int> kernel_tier;
  // To be used as a slow tier: see MarkSlowNodes.
  bool slow = false;
};

struct Topology {
  std::vector<MemoryNode> nodes;     // by node id; never empty after DiscoverTopology
  std::vector<std::string> remarks;  // what could not be read and what was assumed instead, one sentence each
};

// Says of each node whether it belongs behind the others. A node is slow when the kernel puts it in a later memory tier
// than the fastest node; or, where the kernel says nothing that tells the nodes apart, when it has no CPUs (as CXL
// memory) and no known bandwidth well above that of the nodes with CPUs (as on-package memory has). The fastest is
// never slow.
void MarkSlowNodes(Topology* topology);

// The nodes' indices in topology.nodes, fastest first: fast before slow, then by bandwidth, latency, id.
std::vector<int> FastestFirst(const Topology& topology);

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_MEMORY_NODE_H_

#include "src/topology/hwloc_nodes.h"

#include <errno.h>
#include <hwloc.h>
#include <hwloc/memattrs.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace thermocline::topology {
namespace {

struct TopologyDeleter {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using TopologyHandle = std::unique_ptr<hwloc_topology, TopologyDeleter>;

absl::Status Refused(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("hwloc refuses ", what, ": ", strerror(errno)));
}

absl::StatusOr<TopologyHandle> Load(const HwlocInput& input) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return Refused("to start");
  TopologyHandle topology(raw);
  if (input.kind == HwlocInput::Kind::kXmlFile && hwloc_topology_set_xml(raw, input.text.c_str()) != 0) {
    return Refused(absl::StrCat("the XML file ", input.text));
  }
  if (input.kind == HwlocInput::Kind::kSynthetic && hwloc_topology_set_synthetic(raw, input.text.c_str()) != 0) {
    return Refused(absl::StrCat("the description \"", input.text, "\""));
  }
  if (hwloc_topology_load(raw) != 0) return Refused(absl::StrCat("to load the topology ", input.text));
  return topology;
}

// What the best initiator gets; 0 when hwloc does not know.
hwloc_uint64_t BestValue(hwloc_topology_t topology, hwloc_memattr_id_t attribute, hwloc_obj_t node) {
  hwloc_location initiator;
  hwloc_uint64_t value = 0;
  return hwloc_memattr_get_best_initiator(topology, attribute, node, 0, &initiator, &value) == 0 ? value : 0;
}

// One-way figures exist since hwloc 2.8; XML files of older ones have only the two-way figure.
Figure<BytesPerSecond> Bandwidth(hwloc_topology_t topology, hwloc_memattr_id_t one_way, hwloc_obj_t node) {
  hwloc_uint64_t mib = BestValue(topology, one_way, node);
  if (mib == 0) mib = BestValue(topology, HWLOC_MEMATTR_ID_BANDWIDTH, node);
  if (mib == 0) return {};
  return {BytesPerSecond(static_cast<double>(mib) * 1048576.0), FigureSource::kHwloc};
}

Figure<double> Latency(hwloc_topology_t topology, hwloc_obj_t node) {
  hwloc_uint64_t nanos = BestValue(topology, HWLOC_MEMATTR_ID_READ_LATENCY, node);
  if (nanos == 0) nanos = BestValue(topology, HWLOC_MEMATTR_ID_LATENCY, node);
  if (nanos == 0) return {};
  return {static_cast<double>(nanos) * 1e-9, FigureSource::kHwloc};
}

MemoryNode ToMemoryNode(hwloc_topology_t topology, hwloc_obj_t object) {
  MemoryNode node;
  node.id = NodeId(static_cast<int32_t>(object->os_index));
  node.bytes = Bytes(static_cast<int64_t>(object->attr->numanode.local_memory));
  if (node.bytes > Bytes(0)) node.bytes_source = FigureSource::kHwloc;
  node.has_cpus = object->cpuset != nullptr && !hwloc_bitmap_iszero(object->cpuset);
  node.read_bandwidth = Bandwidth(topology, HWLOC_MEMATTR_ID_READ_BANDWIDTH, object);
  node.write_bandwidth = Bandwidth(topology, HWLOC_MEMATTR_ID_WRITE_BANDWIDTH, object);
  node.latency_seconds = Latency(topology, object);
  return node;
}

}  // namespace

absl::StatusOr<std::vector<MemoryNode>> ReadHwlocNodes(const HwlocInput& input) {
  auto topology = Load(input);
  if (!topology.ok()) return topology.status();
  std::vector<MemoryNode> nodes;
  hwloc_obj_t object = nullptr;
  std::vector<hwloc_const_bitmap_t> taken;  // the CPUs of the nodes before
  while ((object = hwloc_get_next_obj_by_type(topology->get(), HWLOC_OBJ_NUMANODE, object)) != nullptr) {
    nodes.push_back(ToMemoryNode(topology->get(), object));
    // hwloc gives a node without CPUs those of its best initiator: they are then another node's too.
    for (hwloc_const_bitmap_t cpus : taken) {
      if (hwloc_bitmap_isequal(cpus, object->cpuset)) nodes.back().has_cpus = false;
    }
    taken.push_back(object->cpuset);
  }
  if (nodes.empty()) return absl::NotFoundError("hwloc knows no memory node");
  std::sort(nodes.begin(), nodes.end(), [](const MemoryNode& a, const MemoryNode& b) { return a.id < b.id; });
  return nodes;
}

}  // namespace thermocline::topology

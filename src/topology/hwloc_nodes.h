// Reads the memory nodes through hwloc: of this machine, of an XML file that lstopo wrote, or of a synthetic
// description such as "node:2 pu:4", so that tests can have any machine.
//
// Thread safety: pure functions. Errors: InvalidArgument when hwloc refuses the XML or the description, NotFound when
// there is no memory node in it.
#ifndef THERMOCLINE_TOPOLOGY_HWLOC_NODES_H_
#define THERMOCLINE_TOPOLOGY_HWLOC_NODES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/topology/memory_node.h"

namespace thermocline::topology {

struct HwlocInput {
  enum class Kind { kThisMachine, kXmlFile, kSynthetic, kNone };
  Kind kind = Kind::kThisMachine;
  std::string text;  // the file's path, or the description
};

// The nodes, by id. REQUIRES: input.kind != kNone.
absl::StatusOr<std::vector<MemoryNode>> ReadHwlocNodes(const HwlocInput& input);

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_HWLOC_NODES_H_

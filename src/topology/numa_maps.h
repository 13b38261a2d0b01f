// What the kernel says of where a process's pages lie: /proc/PID/numa_maps.
//
// Thread safety: a pure function. Errors: none; lines that make no sense are passed over.
#ifndef THERMOCLINE_TOPOLOGY_NUMA_MAPS_H_
#define THERMOCLINE_TOPOLOGY_NUMA_MAPS_H_

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "src/base/units.h"
#include "src/topology/memory_node.h"

namespace thermocline::topology {

using BytesOnNodes = std::map<NodeId, Bytes>;

// Bytes on each node, over all mappings; with `policy`, such as "bind:1", over those with that policy.
BytesOnNodes ReadNumaMaps(absl::string_view text, absl::string_view policy = "");

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_NUMA_MAPS_H_

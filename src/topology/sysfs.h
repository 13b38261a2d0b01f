// Reads the memory nodes from sysfs: sizes, CPUs, distances, firmware's bandwidth and latency, the kernel's memory
// tiers.
//
// Thread safety: pure functions of the file tree below `root`, which is /sys on a machine and a directory in tests.
// Errors: NotFound when the tree has no memory nodes at all (a kernel without NUMA, a container without /sys); what is
// there but makes no sense is InvalidArgument with the file's name and its text. A missing optional file is no error.
#ifndef THERMOCLINE_TOPOLOGY_SYSFS_H_
#define THERMOCLINE_TOPOLOGY_SYSFS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/topology/memory_node.h"

namespace thermocline::topology {

// The nodes below root/devices/system/node, by id.
absl::StatusOr<std::vector<MemoryNode>> ReadSysfsNodes(const std::string& root);

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_SYSFS_H_

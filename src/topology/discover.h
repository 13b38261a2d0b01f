// DiscoverTopology: which memories there are, from hwloc, then sysfs, then (on request) a measurement that overrides
// both, since firmware is often silent or wrong.
//
// Thread safety: may be called from any thread; reads the machine, changes nothing.
// Errors: a source that can't be read is a remark, and the others are used; with none, the machine is taken for one
// node with all of memory. Only an input that the caller named (an XML file, a description) and that is wrong is an
// error.
#ifndef THERMOCLINE_TOPOLOGY_DISCOVER_H_
#define THERMOCLINE_TOPOLOGY_DISCOVER_H_

#include <string>

#include "absl/status/statusor.h"
#include "src/topology/hwloc_nodes.h"
#include "src/topology/measure.h"
#include "src/topology/memory_node.h"

namespace thermocline::topology {

struct DiscoverOptions {
  HwlocInput hwloc;
  std::string sysfs_root = "/sys";   // empty: sysfs is not read
  std::string proc_root = "/proc";   // for the size of the one node, when nothing else says it
  NodeMeasurer* measurer = nullptr;  // nullptr: nothing is measured. Not owned.
};

absl::StatusOr<Topology> DiscoverTopology(const DiscoverOptions& options);

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_DISCOVER_H_

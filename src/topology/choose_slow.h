// Which slow tier a program takes where nobody named one: a slower memory node, else a folder on an SSD.
//
// Thread safety: a pure function. Errors: none; there is always the folder.
#ifndef THERMOCLINE_TOPOLOGY_CHOOSE_SLOW_H_
#define THERMOCLINE_TOPOLOGY_CHOOSE_SLOW_H_

#include <string>

#include "src/base/units.h"
#include "src/topology/memory_node.h"

namespace thermocline::topology {

struct SlowChoice {
  std::string spec;  // "numa:1" or "file:DIR"
  std::string why;   // half a sentence: "this machine has one memory node"
};

// The fastest node behind the others (MarkSlowNodes) that has `wanted` bytes free. A second node that is as near to
// CPUs as the first is none: fast memory comes from it too.
SlowChoice ChooseSlowTier(const Topology& topology, const std::string& directory, Bytes wanted);

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_CHOOSE_SLOW_H_

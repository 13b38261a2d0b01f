#include "src/topology/choose_slow.h"

#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"

namespace thermocline::topology {

SlowChoice ChooseSlowTier(const Topology& topology, const std::string& directory, Bytes wanted) {
  const std::string file = absl::StrCat("file:", directory);
  if (topology.nodes.size() < 2) return {file, "this machine has one memory node"};
  std::string too_full;
  for (int index : FastestFirst(topology)) {
    const MemoryNode& node = topology.nodes[index];
    if (!node.slow) continue;
    const Bytes room = node.free.value_or(node.bytes);
    const std::string has = absl::StrCat("memory node ", node.id.value(), ", ", FormatBytes(room), " free");
    if (room >= wanted) return {absl::StrCat("numa:", node.id.value()), has};
    too_full = absl::StrCat(has, ", is too small: ", FormatBytes(wanted), " may be needed");
  }
  if (!too_full.empty()) return {file, too_full};
  return {file, absl::StrCat("this machine has ", topology.nodes.size(),
                             " memory nodes, none slower than the others: fast memory comes from all of them")};
}

}  // namespace thermocline::topology

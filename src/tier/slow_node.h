// Whether a memory node can be the slow tier: not where fast memory is taken from as well.
//
// Thread safety: any thread; reads the machine and changes nothing. Errors: InvalidArgument when fast memory comes from
// that node and no other; where the system does not say where it comes from, the node is taken.
#ifndef THERMOCLINE_TIER_SLOW_NODE_H_
#define THERMOCLINE_TIER_SLOW_NODE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "src/tier/numa_system.h"

namespace thermocline::tier {

// The nodes that this process takes memory from as long as they have some, one bit each: those its memory policy names
// (numactl), else those of the CPUs that it may run on. nullopt when the system does not say.
std::optional<uint64_t> FastNodes(NumaSystem& system = RealNumaSystem());

absl::Status CheckSlowNode(int node, NumaSystem& system = RealNumaSystem());

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_SLOW_NODE_H_

// NodeMeasurer: measures a memory node's bandwidth and latency in well under a third of a second.
//
// The figures are what one thread on the calling thread's CPU gets from memory, not from the cache: the buffer is
// flushed before it is read. More threads may get more bandwidth.
//
// Thread safety: as each implementation says. Errors: the call that failed, with its errno, the node and the size.
#ifndef THERMOCLINE_TOPOLOGY_MEASURE_H_
#define THERMOCLINE_TOPOLOGY_MEASURE_H_

#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/base/units.h"
#include "src/topology/memory_node.h"
#include "src/topology/system_calls.h"

namespace thermocline::topology {

struct NodeFigures {
  BytesPerSecond read;
  BytesPerSecond write;
  double latency_seconds = 0;
};

class NodeMeasurer {
 public:
  virtual ~NodeMeasurer() = default;
  // With `bind` the memory is taken from that node and from no other; without, from where the kernel puts it.
  virtual absl::StatusOr<NodeFigures> Measure(NodeId node, bool bind) = 0;
};

// Measures with memory of its own, 48 MiB, given back before it returns. Any thread may use it, one at a time.
class MemoryMeasurer final : public NodeMeasurer {
 public:
  explicit MemoryMeasurer(const SystemCalls& calls = RealSystemCalls(), const Clock& clock = MonotonicClock());
  absl::StatusOr<NodeFigures> Measure(NodeId node, bool bind) override;

 private:
  const SystemCalls& calls_;
  const Clock& clock_;
};

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_MEASURE_H_

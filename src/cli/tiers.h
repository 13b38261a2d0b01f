// What `thermocline tiers` prints, apart from asking and measuring the machine.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_CLI_TIERS_H_
#define THERMOCLINE_CLI_TIERS_H_

#include <string>

#include "absl/status/status.h"
#include "src/base/units.h"
#include "src/topology/memory_node.h"

namespace thermocline::cli {

struct SlowTierFigures {
  std::string spec;      // "file:/var/tmp"
  std::string describe;  // the tier's own words; empty when it can't be used
  absl::Status status;   // why it can't be used, or measured
  Bytes capacity;
  bool addressable = false;       // compute could use it in place
  BytesPerSecond in, out, mixed;  // 0 while it was not measured; `mixed` is both directions together
  double latency_seconds = 0;
};

struct TiersReport {
  topology::Topology topology;
  SlowTierFigures slow;
};

std::string FormatTiersReport(const TiersReport& report);
// {"nodes": [{"node", "bytes", "free_bytes", "has_cpus", "slow", "byte_addressable", "kernel_tier", "distances",
//   "read_bytes_per_second", "write_bytes_per_second", "latency_seconds", each figure as {"value", "source"} or null}],
//  "remarks": [...],
//  "slow": {"spec", "usable", "tier", "error", "capacity_bytes", "byte_addressable", "in_bytes_per_second",
//   "out_bytes_per_second", "mixed_bytes_per_second", "latency_seconds"}}; what is unknown is null.
std::string TiersReportToJson(const TiersReport& report);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_TIERS_H_

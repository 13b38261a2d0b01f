// What a trace amounts to, in a few numbers.
//
// Thread safety: pure functions. REQUIRES: profile::Validate(profile).ok().
#ifndef THERMOCLINE_CLI_TRACE_STATS_H_
#define THERMOCLINE_CLI_TRACE_STATS_H_

#include <cstdint>
#include <vector>

#include "src/base/units.h"
#include "src/profile/profile.h"

namespace thermocline::cli {

struct TensorGroup {
  int64_t count = 0;
  Bytes bytes;
};

struct TraceStats {
  double seconds = 0;
  Bytes peak;
  profile::Floor floor;
  TensorGroup all;
  TensorGroup persistent;   // live across steps
  TensorGroup short_lived;  // born and freed within one layer
  Bytes touched;            // summed over layers: what the step needs to see
};
TraceStats ComputeStats(const profile::Profile& profile);

struct LayerStats {
  Bytes alive;
  Bytes touched;
};
// One a layer.
std::vector<LayerStats> ComputeLayerStats(const profile::Profile& profile);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_TRACE_STATS_H_

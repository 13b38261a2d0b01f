// Measures what a slow tier really does, each way and both ways at once. For the start-up and for `thermocline tiers`.
//
// Thread safety: the caller must be the tier's mover, with nothing in flight. Errors: a failed transfer is returned
// with its errno, and nothing is left in flight; a full tier is ResourceExhausted.
#ifndef THERMOCLINE_TIER_MEASURE_LINK_H_
#define THERMOCLINE_TIER_MEASURE_LINK_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "src/base/clock.h"
#include "src/base/units.h"
#include "src/tier/block_tier.h"

namespace thermocline::tier {

struct LinkSpeed {
  BytesPerSecond in, out;      // alone
  BytesPerSecond mixed;        // both directions' bytes together, half of the transfers each way
  double latency_seconds = 0;  // of one granule in, with nothing else under way, less its time at `in`
  // The mixed figure is nearer to that of one link shared by both directions than to that of a link each way.
  bool half_duplex = true;
};

struct LinkMeasurement {
  double seconds = 0.8;         // about, in all
  Bytes most_bytes = MiB(128);  // of slots used; they are freed again
  Bytes most_written;           // to the tier, in all, by this measurement; at least 8 granules. 0: no limit
  int depth = 16;               // in flight at most: the tier's own limit and the scratch memory's also count
  const Clock* clock = &MonotonicClock();
};

// `scratch`: whole granules of memory, 4 KiB-aligned, already touched; their bytes are overwritten. One is enough, two
// or more for the mixed figure.
absl::StatusOr<LinkSpeed> MeasureLink(BlockTier& tier, absl::Span<char> scratch, const LinkMeasurement& how = {});

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_MEASURE_LINK_H_

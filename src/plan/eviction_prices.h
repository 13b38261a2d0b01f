// EvictionPrices: what frames and link time are worth in each layer of a step.
//
// The step as a linear program: no layer holds more frames than its cap, no transfer takes link time that its layer
// doesn't have unless the step waits, and the step waits as little as it can. Prices on frames and link time take it
// apart into a small choice for each granule (gap_moves.h). Any prices, those of the link at most one, give a bound
// that no choice of gaps is better than (DESIGN: Planning); the best ones are approached by the volume algorithm
// (Barahona and Anbil, "The volume algorithm: producing primal solutions with a subgradient method", Mathematical
// Programming 87, 2000). It bounds this model, in which a transfer has its frame for the whole of a layer: not yet the
// real step, in which it has it for as long as it lasts.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_PLAN_EVICTION_PRICES_H_
#define THERMOCLINE_PLAN_EVICTION_PRICES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/plan/gaps.h"
#include "src/plan/link_schedule.h"

namespace thermocline::plan {

// A second on the link costs this much even where nothing would wait for it.
inline constexpr double kTrafficPrice = 0.02;

// What the step has to share, and how it moves. "Layer" may be a part of one here and in gap_moves.h (slots.h).
struct StepResources {
  absl::Span<const int32_t> caps;          // frames for each layer
  absl::Span<const double> layer_seconds;  // how long each lasts when nothing waits
  LinkModel link;                          // its stretch counts, its guard and latency don't
};

struct EvictionPrices {
  std::vector<double> frames;        // for each layer, seconds that one frame more would save
  std::vector<double> fetch, write;  // for each layer, seconds that a second more on the link would save; 0 to 1
  double bound_seconds = 0;          // waits and price of traffic, at least
};

// REQUIRES: gaps in the order of MakeGaps; what is decided about them plays no part.
EvictionPrices PriceEvictions(const std::vector<Gap>& gaps, const StepResources& step);

// Where each granule's gaps begin, and one more entry for their end.
std::vector<size_t> GranuleStarts(const std::vector<Gap>& gaps);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_EVICTION_PRICES_H_

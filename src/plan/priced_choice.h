// PricedChoice: gaps that fit frames and link, rounded from prices.
//
// One granule after the other takes the cheapest way through the step (gap_moves.h), given what all others do: a frame
// more than a layer's cap costs a fine that rises from pass to pass; link time more than a layer has costs the wait.
// That is how wires are routed on a chip (McMurchie and Ebeling, "PathFinder: a negotiation-based performance-driven
// router for FPGAs", FPGA 1995), begun from the prices of the relaxed problem (eviction_prices.h).
//
// Thread safety: pure function.
#ifndef THERMOCLINE_PLAN_PRICED_CHOICE_H_
#define THERMOCLINE_PLAN_PRICED_CHOICE_H_

#include <vector>

#include "src/plan/eviction_prices.h"
#include "src/plan/gaps.h"

namespace thermocline::plan {

// Sets `evicted`, `free_from`, `free_to` and `write_at` of every gap. Some layer may remain over its cap.
void ChooseByPrices(const EvictionPrices& prices, const StepResources& step, std::vector<Gap>* gaps);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_PRICED_CHOICE_H_

// SimulateIntervals: goes through steps interval by interval as the paper's runtime does, and notes its actions.
//
// Thread safety: pure function.
#ifndef THERMOCLINE_PLAN_INTERVAL_SIMULATION_H_
#define THERMOCLINE_PLAN_INTERVAL_SIMULATION_H_

#include <cstdint>

#include "src/plan/granule_timeline.h"
#include "src/plan/migration_plan.h"

namespace thermocline::plan {

struct IntervalSimulationOptions {
  int interval_layers = 1;
  int64_t frames = 0;
  // Granule ids of the short-lived region: fast from the start and never given up while others can be.
  int64_t region_begin = 0;
  int64_t region_end = 0;
  bool use_in_place = false;  // what didn't arrive stays slow (cases 2 and 3), instead of being waited for
};

// Fills `layers` and `resident_at_start` with the actions of a step in the steady state: steps are simulated until one
// ends as it began (at most a few; the state nearly always repeats at once).
void SimulateIntervals(const GranuleTimeline& timeline, const IntervalSimulationOptions& options, MigrationPlan* plan);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_INTERVAL_SIMULATION_H_

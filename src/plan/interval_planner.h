// IntervalPlanner: the paper's method (Ren et al., Sentinel, HPCA 2021), complete.
//
// Short-lived tensors get a region sized by their peak, RS, always fast. The step is cut into intervals of MIL layers.
// At an interval's start, what the next interval needs is prefetched, the most accessed first; in its middle, what the
// next doesn't need is evicted. MIL is the one that minimises the exposed time, sum over intervals of max(0, bytes / BW
// - T), among those that fit in space, Tensor(MIL) <= S - RS, and in time, Tensor(MIL) / BW <= T(MIL). At an interval's
// end either all has arrived (case 1), or there was no fast space left (case 2) or no time (case 3): the rest is then
// waited for, or left where it is: used there where compute can, else fetched by the touch that finds it missing.
// Thread safety: const and stateless. Errors: see planner.h.
#ifndef THERMOCLINE_PLAN_INTERVAL_PLANNER_H_
#define THERMOCLINE_PLAN_INTERVAL_PLANNER_H_

#include <vector>

#include "src/plan/granule_timeline.h"
#include "src/plan/planner.h"

namespace thermocline::plan {

// What to do with what has not arrived at an interval's end. The runtime tries each in a real step and keeps the faster
// (runtime/trial.h). kUseInPlace: no layer waits before it computes.
enum class EndOfInterval { kWait, kUseInPlace };

struct IntervalOptions {
  EndOfInterval end_of_interval = EndOfInterval::kWait;
  int interval_layers = 0;  // MIL; 0: chosen by the constraints
};

// How well one interval length does, by the paper's formulas.
struct IntervalScore {
  int interval_layers = 0;
  Bytes largest;               // Tensor(MIL): the most bytes that one interval needs
  bool fits_space = false;     // largest <= S - RS
  bool fits_time = false;      // in every interval bytes / BW <= T
  double exposed_seconds = 0;  // sum over intervals of max(0, bytes / BW - T)
};

// Scores interval lengths 1, 2, 3, ... up to the step's length. `migratable` has the granules outside of the
// short-lived region, `room` is S - RS.
std::vector<IntervalScore> ScoreIntervals(const GranuleTimeline& migratable, const std::vector<double>& layer_seconds,
                                          Bytes granule, Bytes room, BytesPerSecond rate);

// The one to use: of those that fit space and time the least exposed, else of those that fit space, else the one that
// needs the least space; the longest of equals. REQUIRES: not empty.
IntervalScore ChooseInterval(const std::vector<IntervalScore>& scores);

class IntervalPlanner final : public Planner {
 public:
  explicit IntervalPlanner(IntervalOptions options = {}) : options_(options) {}
  absl::string_view name() const override {
    return options_.end_of_interval == EndOfInterval::kWait ? "interval" : "interval, in place";
  }
  absl::StatusOr<MigrationPlan> Plan(const PlannerInput& input) const override;

 private:
  IntervalOptions options_;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_INTERVAL_PLANNER_H_

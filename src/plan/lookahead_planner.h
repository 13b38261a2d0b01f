// LookaheadPlanner: Belady with time. It knows the whole step, so it lays the step out on a circle of layers, lets the
// gaps that reach farthest give up their frames, and schedules the transfers on the link: write-backs right after the
// last write, fetches backwards from their deadlines, so that both hide behind compute.
//
// In short: (1) an address layout; (2) the gaps of every granule; (3) evict gaps until each layer fits, with the layers
// that transfers take counted as occupied; (4) schedule the link, correct the free stretches by it, back to (3) until
// both agree; (5) start fetches earlier where frames are idle; (6) several variants of this are replayed in virtual
// time (replay.h), the fastest is the plan.
//
// Which gap reaches farthest is a poor guide when the link is nearly full: it knows nothing of write-backs and of when
// they go. With `by_prices`, where all variants leave the step waiting, (3) and (4) are done together, by prices on the
// frames and the link time of each layer, or part of a long one (eviction_prices.h, priced_choice.h). It isn't the
// default: a third less waiting in virtual time was more in real steps, whose link doesn't keep to such tight times.
//
// Thread safety: const and stateless. Errors: see planner.h.
#ifndef THERMOCLINE_PLAN_LOOKAHEAD_PLANNER_H_
#define THERMOCLINE_PLAN_LOOKAHEAD_PLANNER_H_

#include "src/plan/layout.h"
#include "src/plan/planner.h"

namespace thermocline::plan {

struct LookaheadOptions {
  // Where the step would wait, also choose by prices: the planner is "lagrangian" then.
  bool by_prices = false;
  // Left free for what a live run does that the profile didn't: of many frames. Of few each counts for more than that.
  int slack_frames = 2;
};

class LookaheadPlanner final : public Planner {
 public:
  explicit LookaheadPlanner(LookaheadOptions options = {}) : options_(options) {}
  absl::string_view name() const override { return options_.by_prices ? "lagrangian" : "lookahead"; }
  absl::StatusOr<MigrationPlan> Plan(const PlannerInput& input) const override;

 private:
  absl::StatusOr<MigrationPlan> PlanWith(const PlannerInput& input, ShortLived where) const;

  LookaheadOptions options_;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_LOOKAHEAD_PLANNER_H_

// Replay: what a step costs when a MigrationPlan is executed, in virtual time, the way the migration engine does it:
// releases, write-backs, provides and fetches at the start of each layer in this order, fetches in the order of their
// deadlines as frames come free, and demand for what the plan has not brought. Granules can be held against the plan,
// to see what their place is worth.
//
// Thread safety: pure function. Errors: absl::InvalidArgumentError when the plan doesn't belong to the profile or the
// machine has no bandwidth.
#ifndef THERMOCLINE_PLAN_REPLAY_H_
#define THERMOCLINE_PLAN_REPLAY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "src/plan/migration_plan.h"
#include "src/profile/profile.h"

namespace thermocline::plan {

// A frame that was taken from a granule, because what needed one had none from the plan.
struct ForcedEviction {
  GranuleId granule;
  LayerId layer;  // that ran, or waited
  bool operator==(const ForcedEviction&) const = default;
};

struct ReplayResult {
  double seconds = 0;  // of a step in the steady state
  double exposed_seconds = 0;
  std::vector<double> exposed_per_layer;
  Bytes in;
  Bytes out;
  int64_t peak_frames = 0;              // in use at the same time, those in flight included
  int64_t demand_fetches = 0;           // touched or needed, but never fetched by the plan
  int64_t late_fetches = 0;             // fetched by the plan, but waited for
  int64_t forced_evictions = 0;         // the plan left no frame where it needed one
  int64_t frame_waits = 0;              // layers that waited until a frame's write-back was over
  std::vector<ForcedEviction> evicted;  // forced, or for what was touched and not there
};

absl::StatusOr<ReplayResult> Replay(const profile::Profile& profile, const Machine& machine, const MigrationPlan& plan);

// What the plan says about these granules is left out.
struct Held {
  std::vector<GranuleId> fast;  // never leave; have their frames first
  std::vector<GranuleId> slow;  // come when they are touched, and leave when the next layer doesn't touch them
};
absl::StatusOr<ReplayResult> ReplayHolding(const profile::Profile& profile, const Machine& machine,
                                           const MigrationPlan& plan, const Held& held);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_REPLAY_H_

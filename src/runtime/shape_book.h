// ShapeBook: the shapes of step that are known (training, the last smaller batch, evaluation), each with its profile
// and plan, and the look-up of an allocation's planned place.
//
// Thread safety: none of its own; the thread that drives the step uses it. Ownership: by value.
#ifndef THERMOCLINE_RUNTIME_SHAPE_BOOK_H_
#define THERMOCLINE_RUNTIME_SHAPE_BOOK_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "src/base/units.h"
#include "src/plan/migration_plan.h"
#include "src/profile/profile.h"
#include "src/runtime/time_drift.h"
#include "src/runtime/trial.h"

namespace thermocline::runtime {

// What an allocation is recognised by: (layer, ordinal among the layer's large allocations, rounded bytes).
struct Identity {
  int32_t layer = 0;
  int32_t ordinal = 0;
  Bytes rounded;
  bool operator==(const Identity&) const = default;
};

class Shape {
 public:
  static constexpr int64_t kAnywhere = -1;
  static constexpr int64_t kUnknown = -2;

  Shape(profile::Profile profile, plan::MigrationPlan plan);

  // The offset in the arena that the plan has for it; kAnywhere when the plan knows it but leaves its place open;
  // kUnknown when no such allocation is in the profile.
  int64_t OffsetFor(const Identity& identity) const {
    if (identity.layer >= std::ssize(slots_) || identity.ordinal >= std::ssize(slots_[identity.layer])) return kUnknown;
    const Slot& slot = slots_[identity.layer][identity.ordinal];
    return slot.rounded == identity.rounded ? slot.offset : kUnknown;
  }
  int64_t layer_count() const { return std::ssize(profile.layers); }
  // Of the profile, the plan and the look-up of places.
  Bytes MemoryBytes() const;

  profile::Profile profile;
  std::shared_ptr<const plan::MigrationPlan> plan;
  bool given = false;                    // by a file at start: its plan, or the profile that the plan was made of
  bool profile_known = true;             // false: of a plan that was given, only its number of layers is
  Bytes made_for;                        // the fast budget, when the plan was made
  int64_t last_used = 0;                 // number of the last step that began by it, or was profiled
  int64_t steps = 0;                     // run under this plan
  Trial trial;                           // which planner's plan it is
  std::vector<double> measured_seconds;  // of each layer, waits taken off; the mean of the steps so far
  double link_pace = 1;                  // that the plan was made from
  std::vector<double> seen_paces;        // the link's, in the first placed steps; 0: too little was moved to tell
  TimeDrift drift;                       // whether the plan still suits the steps' times
  // While a plan that was made for other times is on trial: the one before, and the times that it was made from.
  std::shared_ptr<const plan::MigrationPlan> plan_before;
  PlanTimes times_before;

 private:
  struct Slot {
    Bytes rounded;
    int64_t offset = kAnywhere;
  };
  std::vector<std::vector<Slot>> slots_;  // [layer][ordinal]
};

// True when every allocation of the log is one that the shape knows.
bool Matches(const Shape& shape, const std::vector<Identity>& log);

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_SHAPE_BOOK_H_

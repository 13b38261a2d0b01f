// Planner: decides placements and moves. Pure: the same input gives the same plan; no clock, no machine, no global.
//
// Thread safety: const and stateless, so any thread. Errors: absl::InvalidArgumentError for a profile that makes no
// sense or a machine without bandwidth; a budget under the floor is no error (the plan then fetches what it can, and
// the rest by demand), see MigrationPlan.
#ifndef THERMOCLINE_PLAN_PLANNER_H_
#define THERMOCLINE_PLAN_PLANNER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/plan/migration_plan.h"
#include "src/profile/profile.h"

namespace thermocline::plan {

struct PlannerInput {
  const profile::Profile* profile = nullptr;
  Machine machine;
  Bytes budget;                  // hard cap on fast bytes, small objects and pinned granules already taken off
  Bytes granule_bytes = MiB(2);  // the unit that moves
  int64_t layout_base = 0;       // where in the arena new tensors may lie, a multiple of granule_bytes
  // A plan for the same tensors, granules and base: each keeps the place that it has there, only what moves when is
  // decided anew. nullptr: the layout is solved.
  const MigrationPlan* layout_of = nullptr;
};

class Planner {
 public:
  virtual ~Planner() = default;
  virtual absl::string_view name() const = 0;
  virtual absl::StatusOr<MigrationPlan> Plan(const PlannerInput& input) const = 0;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_PLANNER_H_

// VictimPolicy: which granule gives up its frame when one is needed that no plan provided for. It decides; the mover
// acts.
//
// Thread safety: called by the mover under the residency lock. Ownership: borrows nothing.
#ifndef THERMOCLINE_MIGRATE_VICTIM_POLICY_H_
#define THERMOCLINE_MIGRATE_VICTIM_POLICY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "src/arena/residency.h"
#include "src/base/units.h"
#include "src/plan/migration_plan.h"

namespace thermocline::migrate {

class VictimPolicy {
 public:
  virtual ~VictimPolicy() = default;
  // Up to `wanted` granules that may leave now, best first.
  virtual std::vector<GranuleId> Choose(const arena::Residency& residency, int64_t wanted, int64_t now) const = 0;
};

// Least recently used first; what is dead stands in front of that.
std::unique_ptr<VictimPolicy> MakeLruPolicy();

// Farthest next use in the plan first (Belady, 1966); what the plan does not know counts as never used again.
// `now` is the position of the current layer in the endless sequence of layers.
std::unique_ptr<VictimPolicy> MakePlanPolicy(const plan::MigrationPlan& plan);

}  // namespace thermocline::migrate

#endif  // THERMOCLINE_MIGRATE_VICTIM_POLICY_H_

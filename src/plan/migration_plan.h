// MigrationPlan: where every tensor lies, and what moves when. A pure function of (profile, machine, budget); the
// migration engine executes it, checks every move against the real state, and is right whatever it says.
//
// Thread safety: plain data. Ownership: by value.
#ifndef THERMOCLINE_PLAN_MIGRATION_PLAN_H_
#define THERMOCLINE_PLAN_MIGRATION_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/units.h"

namespace thermocline::plan {

// A slow tier as the cost model sees it. Of several, the first is the fastest.
struct TierSpec {
  std::string name;
  BytesPerSecond in;   // slow to fast
  BytesPerSecond out;  // fast to slow
  double latency_seconds = 0;
  bool full_duplex = false;  // false: both directions share the link
  bool byte_addressable = false;
  Bytes capacity;  // 0: unlimited
};

struct Machine {
  std::vector<TierSpec> slow;
};

// Why a tensor lies where it lies.
enum class Region : uint8_t {
  kShortLived,  // lives within one layer (or is always wanted): always fast, never migrates
  kMigratable,  // its granules move
  kFixed,       // was allocated before the plan: stays at its address, its granules move
};

struct Placement {
  TensorId tensor;
  LayerId birth = kNoLayer;  // with ordinal and bytes: the identity that a step's allocations are matched by
  int32_t ordinal = -1;
  Bytes bytes;
  Region region = Region::kMigratable;
  int64_t offset = 0;  // from the arena's base
};

struct Fetch {
  GranuleId granule;
  LayerId deadline;          // must be resident when this layer starts
  bool for_writing = false;  // will be written before it leaves: map it writable at once
};

// Done when the layer starts, in the order of the members. Ids are the arena's (offset / granule_bytes).
struct LayerActions {
  std::vector<GranuleId> release;     // its frame is free from now on: dead, clean, or as soon as it is written out
  std::vector<GranuleId> write_back;  // its last write is over: copy it out; unless released it stays readable
  std::vector<GranuleId> provide;     // give it a frame without content: what is born here needs it
  std::vector<Fetch> fetch;           // may start now, frames permitting; sorted by deadline
  std::vector<GranuleId> need;        // must be resident before the layer computes, where the plan waits
};

struct MigrationPlan {
  std::string planner;
  uint64_t profile_hash = 0;   // profile::ContentHash
  uint64_t sequence_hash = 0;  // profile::SequenceHash
  Bytes budget;                // fast bytes the plan may use, all granules together
  Bytes granule_bytes;
  int64_t layout_base = 0;  // first offset that the layout may use; see Rebase
  int64_t layout_end = 0;   // one past the last offset that it uses
  Bytes short_lived_bytes;  // RS: size of the short-lived region
  int interval_layers = 0;  // MIL, for the planners that have one
  bool waits = true;  // a layer waits for its `need` before it computes; false: only touches wait for what is away
  std::vector<Placement> placements;
  std::vector<LayerActions> layers;          // cyclic: after the last comes the first
  std::vector<GranuleId> resident_at_start;  // when layer 0 starts, before its actions, in the steady state

  // What the planner expects of a step.
  double predicted_seconds = 0;
  double predicted_exposed_seconds = 0;
  std::vector<double> predicted_exposed_per_layer;  // not in files: empty for a plan that was loaded
  Bytes predicted_in;
  Bytes predicted_out;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_MIGRATION_PLAN_H_

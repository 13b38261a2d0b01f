// Layout: an address for every tensor of a step, solved once so that steady-state allocation is a table look-up.
//
// Tensors with a fixed offset stay. The others get 4 KiB aligned offsets from `base` on, in two regions: short-lived
// ones (born and freed within one layer) first, then the migratable ones. Tensors that are alive at the same time never
// overlap; tensors with disjoint lives share addresses, so that the regions end close to the peaks of their live bytes.
// Small tensors with the same life are laid side by side, so that a granule moves only when all of it should.
// Thread safety: pure functions. REQUIRES: profile::Validate(profile).ok(), granule > 0.
#ifndef THERMOCLINE_PLAN_LAYOUT_H_
#define THERMOCLINE_PLAN_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "src/base/units.h"
#include "src/plan/migration_plan.h"
#include "src/profile/profile.h"

namespace thermocline::plan {

// The order in which tensors choose their addresses; each takes the smallest gap that fits, else the end.
enum class PackOrder { kSize, kBirth, kLifetime };

// Where short-lived tensors lie: in a region of their own, or among the others, which takes less room at the peak.
enum class ShortLived { kApart, kAmong };

struct Layout {
  std::vector<int64_t> offsets;  // a tensor each, in the profile's order
  std::vector<Region> regions;   // likewise
  int64_t short_lived_begin = 0;
  Bytes short_lived_bytes;  // RS: the short-lived region's size before it is rounded up to granules
  int64_t end = 0;          // one past the last byte laid out; `base` when nothing is
  // Granules times granule size that hold some tensor, the fixed ones included.
  Bytes footprint;
};

// The layout with the smallest end of all orders.
Layout MakeLayout(const profile::Profile& profile, Bytes granule, int64_t base,
                  ShortLived short_lived = ShortLived::kApart);
// The layout by one order.
Layout MakeLayoutBy(PackOrder order, const profile::Profile& profile, Bytes granule, int64_t base,
                    ShortLived short_lived = ShortLived::kApart);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_LAYOUT_H_

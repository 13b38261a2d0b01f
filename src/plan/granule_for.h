// GranuleFor: the unit that moves, where nobody has chosen one: a huge page, and less only where a budget has too few
// of those to plan with.
//
// A tensor takes up to one granule more than its bytes, and what it shares one with moves along; so smaller granules
// move fewer bytes. They cost more all the same: without huge pages the processor looks addresses up more often, and
// the kernel handles hundreds of entries where it handled one (docs/tuning.md has figures). Thread safety: pure
// function.
#ifndef THERMOCLINE_PLAN_GRANULE_FOR_H_
#define THERMOCLINE_PLAN_GRANULE_FOR_H_

#include "src/base/units.h"

namespace thermocline::plan {

// In fewer frames there is nothing to arrange: what one layer needs thrashes, plan or not, and a plan's arrivals make
// it worse.
inline constexpr int64_t kFewestPlannedFrames = 8;

inline Bytes GranuleFor(Bytes budget) {
  constexpr Bytes kLeast = KiB(512);
  Bytes granule = MiB(2);
  while (budget / granule < kFewestPlannedFrames && granule > kLeast) granule = granule / 2;
  return granule;
}

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_GRANULE_FOR_H_

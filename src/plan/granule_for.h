// GranuleFor: the unit that moves, where nobody has chosen one: a huge page, and less where the budget has few of
// those.
//
// A tensor takes up to one granule more than its bytes, and what it shares one with moves along. With few frames that
// is much of the budget; so below 64 of them granules are halved, down to 512 KiB, where what each costs beside its
// bytes (a mapping, interruptions of the other cores) outweighs it: docs/tuning.md has figures. Thread safety: pure
// function.
#ifndef THERMOCLINE_PLAN_GRANULE_FOR_H_
#define THERMOCLINE_PLAN_GRANULE_FOR_H_

#include "src/base/units.h"

namespace thermocline::plan {

inline Bytes GranuleFor(Bytes budget) {
  constexpr int64_t kFewFrames = 64;
  constexpr Bytes kLeast = KiB(512);
  Bytes granule = MiB(2);
  while (budget / granule < kFewFrames && granule > kLeast) granule = granule / 2;
  return granule;
}

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_GRANULE_FOR_H_

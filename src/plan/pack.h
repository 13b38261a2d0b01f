// Pack: offsets for blocks with known lives, so that those alive together never overlap. Greedy best fit.
//
// Thread safety: pure function.
#ifndef THERMOCLINE_PLAN_PACK_H_
#define THERMOCLINE_PLAN_PACK_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/profile/lifetime.h"

namespace thermocline::plan {

struct Block {
  int64_t bytes = 0;  // a multiple of the alignment that is wanted
  profile::Lifetime life;
};

// Places blocks[order[0]], blocks[order[1]], ... Returns the offsets, from 0, in the order of `blocks`, and the end.
struct Packed {
  std::vector<int64_t> offsets;
  int64_t end = 0;
};
Packed Pack(absl::Span<const Block> blocks, absl::Span<const int32_t> order);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_PACK_H_

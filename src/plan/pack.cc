#include "src/plan/pack.h"

#include <algorithm>
#include <limits>

namespace thermocline::plan {
namespace {

struct Placed {
  int64_t offset;
  int64_t end;
  profile::Lifetime life;
};

// The offset of the smallest gap that takes `block` between those already placed that are alive with it; `placed` is
// sorted by offset.
int64_t BestFit(const std::vector<Placed>& placed, const Block& block) {
  int64_t best = -1;
  int64_t best_gap = std::numeric_limits<int64_t>::max();
  int64_t cursor = 0;
  for (const Placed& other : placed) {
    if (!other.life.Overlaps(block.life)) continue;
    const int64_t gap = other.offset - cursor;
    if (gap >= block.bytes && gap < best_gap) {
      best = cursor;
      best_gap = gap;
    }
    cursor = std::max(cursor, other.end);
  }
  return best >= 0 ? best : cursor;
}

}  // namespace

Packed Pack(absl::Span<const Block> blocks, absl::Span<const int32_t> order) {
  Packed packed;
  packed.offsets.resize(blocks.size(), 0);
  std::vector<Placed> placed;
  placed.reserve(blocks.size());
  for (const int32_t index : order) {
    const Block& block = blocks[index];
    const int64_t offset = BestFit(placed, block);
    packed.offsets[index] = offset;
    packed.end = std::max(packed.end, offset + block.bytes);
    const Placed entry{offset, offset + block.bytes, block.life};
    const auto by_offset = [](const Placed& a, const Placed& b) { return a.offset < b.offset; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), entry, by_offset), entry);
  }
  return packed;
}

}  // namespace thermocline::plan

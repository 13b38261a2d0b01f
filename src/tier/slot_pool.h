// SlotPool: which numbered slots of a tier are taken. Hands out the lowest free one, so that a tier stays dense.
//
// Thread safety: none; the tier locks. Errors: kNoSlot when none is free; freeing a slot that is not taken is refused.
#ifndef THERMOCLINE_TIER_SLOT_POOL_H_
#define THERMOCLINE_TIER_SLOT_POOL_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "src/base/units.h"

namespace thermocline::tier {

class SlotPool {
 public:
  int64_t size() const { return size_; }

  // Makes slots [size(), size() + more) available.
  void Grow(int64_t more) {
    free_.resize((size_ + more + 63) / 64, 0);
    size_ += more;
    for (int64_t slot = size_ - more; slot < size_; ++slot) SetFree(slot);
    lowest_ = std::min(lowest_, (size_ - more) / 64);
  }

  SlotId Take() {
    for (int64_t word = lowest_; word < static_cast<int64_t>(free_.size()); ++word) {
      if (free_[word] == 0) continue;
      lowest_ = word;
      const int bit = std::countr_zero(free_[word]);
      free_[word] &= free_[word] - 1;
      return SlotId(static_cast<uint32_t>(word * 64 + bit));
    }
    lowest_ = static_cast<int64_t>(free_.size());
    return kNoSlot;
  }

  // False when the slot is not taken.
  bool Give(SlotId slot) {
    if (!IsTaken(slot)) return false;
    SetFree(slot.value());
    lowest_ = std::min(lowest_, int64_t{slot.value()} / 64);
    return true;
  }

  bool IsTaken(SlotId slot) const {
    return slot.value() < size_ && (free_[slot.value() / 64] >> (slot.value() % 64) & 1) == 0;
  }

 private:
  void SetFree(int64_t slot) { free_[slot / 64] |= uint64_t{1} << (slot % 64); }

  std::vector<uint64_t> free_;  // a bit a slot, 1: free
  int64_t size_ = 0;
  int64_t lowest_ = 0;  // no word before this one has a free slot
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_SLOT_POOL_H_

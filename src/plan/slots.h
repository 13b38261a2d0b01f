// Slots: long layers in parts, so that a frame that leaves early in one can be filled again before it ends.
//
// Positions count slots as Gap's count layers. Thread safety: const.
#ifndef THERMOCLINE_PLAN_SLOTS_H_
#define THERMOCLINE_PLAN_SLOTS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/plan/gaps.h"

namespace thermocline::plan {

class Slots {
 public:
  // Layers are cut into equal parts of at least `least_seconds`.
  Slots(absl::Span<const double> layer_seconds, double least_seconds);

  int32_t count() const { return first_.back(); }
  const std::vector<double>& seconds() const { return seconds_; }
  std::vector<int32_t> PerSlot(absl::Span<const int32_t> per_layer) const;

  // The gaps with positions in slots, undecided; and what was decided about them brought back: a layer of which a part
  // is free counts as not free.
  std::vector<Gap> InSlots(const std::vector<Gap>& gaps) const;
  void Decide(const std::vector<Gap>& in_slots, std::vector<Gap>* gaps) const;

 private:
  int32_t First(int32_t layer_position) const;
  int32_t LayerOf(int32_t slot_position) const;

  std::vector<int32_t> first_;  // by layer, and one more for the end
  std::vector<int32_t> layer_;  // by slot
  std::vector<double> seconds_;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_SLOTS_H_

#include "src/plan/slots.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace thermocline::plan {
namespace {

constexpr double kMostParts = 16;

// Of `position` on a circle of `size`: how many times around, rounded down.
int32_t Turns(int32_t position, int32_t size) {
  return position >= 0 ? position / size : -((size - 1 - position) / size);
}

}  // namespace

Slots::Slots(absl::Span<const double> layer_seconds, double least_seconds) : first_{0} {
  for (size_t l = 0; l < layer_seconds.size(); ++l) {
    const double parts =
        least_seconds > 0 ? std::clamp(std::floor(layer_seconds[l] / least_seconds), 1.0, kMostParts) : 1;
    const auto count = static_cast<int32_t>(parts);
    seconds_.insert(seconds_.end(), static_cast<size_t>(count), layer_seconds[l] / parts);
    layer_.insert(layer_.end(), static_cast<size_t>(count), static_cast<int32_t>(l));
    first_.push_back(first_.back() + count);
  }
}

std::vector<int32_t> Slots::PerSlot(absl::Span<const int32_t> per_layer) const {
  std::vector<int32_t> slots;
  for (const int32_t layer : layer_) slots.push_back(per_layer[layer]);
  return slots;
}

int32_t Slots::First(int32_t layer_position) const {
  const auto layers = static_cast<int32_t>(first_.size()) - 1;
  const int32_t turns = Turns(layer_position, layers);
  return first_[layer_position - turns * layers] + turns * count();
}

int32_t Slots::LayerOf(int32_t slot_position) const {
  const auto layers = static_cast<int32_t>(first_.size()) - 1;
  const int32_t turns = Turns(slot_position, count());
  return layer_[slot_position - turns * count()] + turns * layers;
}

std::vector<Gap> Slots::InSlots(const std::vector<Gap>& gaps) const {
  std::vector<Gap> in_slots = gaps;
  for (Gap& gap : in_slots) {
    // A layer's last slot for where something ends, its first for where something begins.
    gap.begin = First(gap.begin + 1) - 1;
    gap.end = First(gap.end);
    gap.last_write = First(gap.last_write + 1) - 1;
  }
  return in_slots;
}

void Slots::Decide(const std::vector<Gap>& in_slots, std::vector<Gap>* gaps) const {
  for (size_t i = 0; i < gaps->size(); ++i) {
    Gap& gap = (*gaps)[i];
    gap.evicted = in_slots[i].evicted;
    const int32_t write_at = in_slots[i].write_at;
    gap.write_at = write_at == Gap::kAtOnce ? Gap::kAtOnce : LayerOf(write_at);
    // The first layer that is free from its start, and the last that is free to its end.
    gap.free_from = LayerOf(in_slots[i].free_from - 1) + 1;
    gap.free_to = LayerOf(in_slots[i].free_to + 1) - 1;
  }
}

}  // namespace thermocline::plan

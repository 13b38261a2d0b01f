#include "src/runtime/shape_book.h"

#include <algorithm>
#include <utility>

namespace thermocline::runtime {

Shape::Shape(profile::Profile the_profile, plan::MigrationPlan the_plan)
    : profile(std::move(the_profile)), plan(std::make_shared<const plan::MigrationPlan>(std::move(the_plan))) {
  slots_.resize(profile.layers.size());
  const auto slot_at = [this](LayerId layer, int32_t ordinal) -> Slot& {
    std::vector<Slot>& slots = slots_[layer.value()];
    if (ordinal >= std::ssize(slots)) slots.resize(ordinal + 1);
    return slots[ordinal];
  };
  for (const profile::Tensor& tensor : profile.tensors) {
    if (tensor.birth != kNoLayer && tensor.ordinal >= 0) slot_at(tensor.birth, tensor.ordinal).rounded = tensor.bytes;
  }
  for (const plan::Placement& placement : plan->placements) {
    if (placement.birth == kNoLayer || placement.ordinal < 0 || placement.region == plan::Region::kFixed) continue;
    slot_at(placement.birth, placement.ordinal) = {placement.bytes, placement.offset};
  }
}

bool Matches(const Shape& shape, const std::vector<Identity>& log) {
  return std::all_of(log.begin(), log.end(), [&](const Identity& identity) {
    return shape.OffsetFor(identity) != Shape::kUnknown;
  });
}

}  // namespace thermocline::runtime

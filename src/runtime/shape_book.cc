#include "src/runtime/shape_book.h"

#include <algorithm>
#include <utility>

namespace thermocline::runtime {
namespace {

template <typename T>
size_t HeapBytes(const std::vector<T>& items) {
  return items.capacity() * sizeof(T);
}

size_t PlanBytes(const plan::MigrationPlan& plan) {
  size_t bytes = sizeof(plan::MigrationPlan) + HeapBytes(plan.placements) + HeapBytes(plan.layers) +
                 HeapBytes(plan.resident_at_start) + HeapBytes(plan.predicted_exposed_per_layer);
  for (const plan::LayerActions& actions : plan.layers) {
    bytes += HeapBytes(actions.release) + HeapBytes(actions.write_back) + HeapBytes(actions.provide) +
             HeapBytes(actions.fetch) + HeapBytes(actions.need);
  }
  return bytes;
}

}  // namespace

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

Bytes Shape::MemoryBytes() const {
  size_t bytes = sizeof(Shape) + HeapBytes(profile.layers) + HeapBytes(profile.tensors) + HeapBytes(measured_seconds) +
                 HeapBytes(times_before.layer_seconds) + HeapBytes(seen_paces) + HeapBytes(slots_) + PlanBytes(*plan) +
                 (plan_before == nullptr ? 0 : PlanBytes(*plan_before));
  for (const profile::Layer& layer : profile.layers) bytes += layer.name.capacity();
  for (const profile::Tensor& tensor : profile.tensors) bytes += HeapBytes(tensor.accesses);
  for (const std::vector<Slot>& slots : slots_) bytes += HeapBytes(slots);
  return Bytes(static_cast<int64_t>(bytes)) + drift.HeapBytes();
}

bool Matches(const Shape& shape, const std::vector<Identity>& log) {
  return std::all_of(log.begin(), log.end(),
                     [&](const Identity& identity) { return shape.OffsetFor(identity) != Shape::kUnknown; });
}

}  // namespace thermocline::runtime

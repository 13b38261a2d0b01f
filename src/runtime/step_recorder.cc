#include "src/runtime/step_recorder.h"

#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <utility>

#include "src/base/reserve.h"
#include "src/runtime/shortest_layer.h"

namespace thermocline::runtime {
namespace {

// What a counted touch adds to a layer's time: a fault and its share of closing the window again. It is taken off, as
// the layer's time in a plan is that without profiling; measured steps correct it later.
constexpr double kSecondsPerTouch = 4e-6;

}  // namespace

void StepRecorder::Begin(const std::vector<arena::Allocation>& live) {
  {
    arena::Residency::Lock lock(residency_);
    pages_ = PageRecorder();
    profile_ = profile::Profile();
    check_ = profile::OperatorCheck();
    index_of_.clear();
    layer_starts_.clear();
    events_ = 0;
    for (const arena::Allocation& allocation : live) {
      profile::Tensor tensor;
      tensor.id = TensorId(std::ssize(profile_.tensors));
      tensor.bytes = allocation.rounded;
      tensor.fixed_offset = allocation.address - residency_.base();
      index_of_[allocation.serial] = tensor.id.value();
      pages_.AddTensor(allocation.address, allocation.rounded, tensor.id.value());
      profile_.tensors.push_back(std::move(tensor));
    }
  }
  residency_.Arm(&pages_);
  layer_began_ = clock_.NowNanos();
}

void StepRecorder::OnAllocate(uint64_t serial, char* address, Bytes requested, Bytes rounded, LayerId layer,
                              int32_t ordinal) {
  if (!arena::Allocator::IsLarge(requested)) return;  // small objects are not placed by plans
  arena::Residency::Lock lock(residency_);
  profile::Tensor tensor;
  tensor.id = TensorId(std::ssize(profile_.tensors));
  tensor.bytes = rounded;
  tensor.birth = layer;
  tensor.ordinal = ordinal;
  tensor.birth_event = events_;
  ReserveFor(profile_.tensors, profile_.tensors.size() + 1);
  const auto inserted = index_of_.emplace(serial, tensor.id.value());
  try {
    pages_.AddTensor(address, rounded, tensor.id.value());
  } catch (const std::bad_alloc&) {
    index_of_.erase(inserted.first);
    throw;
  }
  residency_.CloseLocked(address, rounded);
  ++events_;
  profile_.tensors.push_back(std::move(tensor));
}

void StepRecorder::OnFree(uint64_t serial, char* address, LayerId layer) {
  arena::Residency::Lock lock(residency_);
  const auto found = index_of_.find(serial);
  if (found == index_of_.end()) return;
  profile::Tensor& tensor = profile_.tensors[found->second];
  tensor.death = layer;
  tensor.death_event = events_++;
  pages_.RemoveTensor(address);
  index_of_.erase(found);
}

void StepRecorder::Declare(const void* address, bool writes) {
  arena::Residency::Lock lock(residency_);
  const int64_t tensor = pages_.TensorAt(static_cast<const char*>(address));
  if (tensor >= 0) check_.Declare(tensor, writes);
}

void StepRecorder::EndLayer(LayerId layer, absl::string_view name, int64_t exposed_nanos) {
  const int64_t now = clock_.NowNanos();
  residency_.CloseOpened();
  {
    arena::Residency::Lock lock(residency_);
    profile::Layer record;
    record.name = std::string(name);
    const double seconds = (now - layer_began_ - exposed_nanos) * 1e-9 - pages_.touches() * kSecondsPerTouch;
    record.seconds = std::max(seconds, kShortestLayer);
    ReserveFor(profile_.layers, profile_.layers.size() + 1);
    ReserveFor(layer_starts_, profile_.layers.size() + 1);
    pages_.EndLayer(layer, &profile_.tensors);
    check_.EndLayer(layer, profile_.tensors);
    // The next layer's first event is where the sequence stands now.
    profile_.layers.push_back(std::move(record));
    layer_starts_.push_back(events_);
  }
  layer_began_ = clock_.NowNanos();
}

profile::Profile StepRecorder::End() {
  residency_.Disarm();
  if (const std::string text = check_.Describe(); !text.empty())
    std::fprintf(stderr, "thermocline: %s.\n", text.c_str());
  arena::Residency::Lock lock(residency_);
  int64_t first_event = 0;
  for (size_t i = 0; i < profile_.layers.size(); ++i) {
    profile_.layers[i].first_event = first_event;
    first_event = layer_starts_[i];
  }
  layer_starts_.clear();
  for (profile::Tensor& tensor : profile_.tensors) {
    // It was there before and is gone now: it will not be there in the next step.
    if (tensor.birth == kNoLayer && tensor.death != kNoLayer) tensor.bytes = Bytes(0);
  }
  std::erase_if(profile_.tensors, [](const profile::Tensor& tensor) { return tensor.bytes.count() == 0; });
  for (size_t i = 0; i < profile_.tensors.size(); ++i) profile_.tensors[i].id = TensorId(static_cast<int64_t>(i));
  profile_.peak_bytes = profile::PeakBytes(profile_);
  index_of_.clear();
  return std::exchange(profile_, {});
}

}  // namespace thermocline::runtime

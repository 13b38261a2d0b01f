#include "src/profile/lifetime.h"

#include <algorithm>

namespace thermocline::profile {
namespace {

bool HasEvents(const Tensor& tensor) {
  return tensor.death_event >= 0 && (tensor.birth_event >= 0 || tensor.birth == kNoLayer);
}

// Events can serve as the clock only when nothing that comes or goes lacks them.
bool EventsKnown(const Profile& profile) {
  return std::all_of(profile.tensors.begin(), profile.tensors.end(),
                     [](const Tensor& tensor) { return tensor.persistent() || HasEvents(tensor); });
}

int64_t LastTick(const Profile& profile, bool events) {
  if (!events) return static_cast<int64_t>(profile.layers.size());
  int64_t last = 0;
  for (const Tensor& tensor : profile.tensors) last = std::max({last, tensor.birth_event, tensor.death_event});
  return last + 1;
}

Lifetime LifetimeOf(const Tensor& tensor, bool events, int64_t last) {
  if (tensor.persistent()) return {0, last};
  const int64_t birth = tensor.birth == kNoLayer ? 0 : (events ? tensor.birth_event : int64_t{tensor.birth.value()});
  const int64_t end = events ? tensor.death_event : int64_t{tensor.death.value()} + 1;
  const bool wraps = tensor.birth != kNoLayer && (events ? end < birth : tensor.death < tensor.birth);
  if (!wraps) return {birth, std::max(end, birth)};
  return {birth, last, 0, end};
}

}  // namespace

std::vector<Lifetime> Lifetimes(const Profile& profile) {
  const bool events = EventsKnown(profile);
  const int64_t last = LastTick(profile, events);
  std::vector<Lifetime> lifetimes;
  lifetimes.reserve(profile.tensors.size());
  for (const Tensor& tensor : profile.tensors) lifetimes.push_back(LifetimeOf(tensor, events, last));
  return lifetimes;
}

}  // namespace thermocline::profile

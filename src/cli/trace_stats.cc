#include "src/cli/trace_stats.h"

namespace thermocline::cli {
namespace {

void Count(const profile::Tensor& tensor, TensorGroup* group) {
  ++group->count;
  group->bytes += tensor.bytes;
}

}  // namespace

TraceStats ComputeStats(const profile::Profile& profile) {
  TraceStats stats;
  for (const profile::Layer& layer : profile.layers) stats.seconds += layer.seconds;
  stats.peak = profile.peak_bytes > Bytes(0) ? profile.peak_bytes : profile::PeakBytes(profile);
  stats.floor = profile::FloorBytes(profile);
  for (const profile::Tensor& tensor : profile.tensors) {
    Count(tensor, &stats.all);
    if (tensor.persistent()) Count(tensor, &stats.persistent);
    if (!tensor.persistent() && tensor.birth == tensor.death) Count(tensor, &stats.short_lived);
    stats.touched += tensor.bytes * static_cast<int64_t>(tensor.accesses.size());
  }
  return stats;
}

std::vector<LayerStats> ComputeLayerStats(const profile::Profile& profile) {
  const int32_t count = static_cast<int32_t>(profile.layers.size());
  std::vector<LayerStats> stats(count);
  // What is alive changes where a tensor comes or goes: sum the changes instead of asking each tensor about each layer.
  std::vector<Bytes> change(count + 1);
  const auto alive = [&change](int32_t from, int32_t to, Bytes bytes) {
    change[from] += bytes;
    change[to] -= bytes;
  };
  for (const profile::Tensor& tensor : profile.tensors) {
    for (const profile::Access& access : tensor.accesses) stats[access.layer.value()].touched += tensor.bytes;
    const bool born = tensor.birth != kNoLayer;
    if (tensor.persistent()) {
      alive(0, count, tensor.bytes);
    } else if (!born || tensor.death >= tensor.birth) {
      alive(born ? tensor.birth.value() : 0, tensor.death.value() + 1, tensor.bytes);
    } else {
      alive(tensor.birth.value(), count, tensor.bytes);
      alive(0, tensor.death.value() + 1, tensor.bytes);
    }
  }
  Bytes sum;
  for (int32_t i = 0; i < count; ++i) {
    sum += change[i];
    stats[i].alive = sum;
  }
  return stats;
}

}  // namespace thermocline::cli

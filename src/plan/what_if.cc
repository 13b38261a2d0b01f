#include "src/plan/what_if.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "src/plan/granule_timeline.h"
#include "src/plan/plan_parts.h"
#include "src/profile/lifetime.h"

namespace thermocline::plan {
namespace {

bool LiesIn(const MigrationPlan& plan, const Placement& placement, GranuleId granule) {
  if (placement.bytes <= Bytes(0)) return false;
  const int64_t size = plan.granule_bytes.count();
  return granule.value() >= placement.offset / size &&
         granule.value() <= (placement.offset + placement.bytes.count() - 1) / size;
}

std::vector<GranuleId> GranulesOf(const MigrationPlan& plan, const Placement& placement) {
  std::vector<GranuleId> granules;
  if (placement.bytes <= Bytes(0)) return granules;
  const int64_t size = plan.granule_bytes.count();
  const int64_t last = (placement.offset + placement.bytes.count() - 1) / size;
  for (int64_t g = placement.offset / size; g <= last; ++g) granules.push_back(GranuleId(static_cast<uint32_t>(g)));
  return granules;
}

// The layer that needs most beside the held granules, if that is more than there are frames.
void CheckRoom(const profile::Profile& profile, const MigrationPlan& plan, const std::vector<GranuleId>& held,
               Elsewhere* fast) {
  const absl::flat_hash_set<GranuleId> kept(held.begin(), held.end());
  std::vector<int64_t> needed(profile.layers.size(), static_cast<int64_t>(kept.size()));
  for (const GranuleLife& life : MakeTimeline(profile, OffsetsOf(plan, profile), plan.granule_bytes).granules) {
    if (kept.contains(life.granule)) continue;
    for (const GranuleUse& use : life.uses) ++needed[use.layer];
  }
  const auto most = std::max_element(needed.begin(), needed.end());
  const int64_t frames = plan.budget / plan.granule_bytes;
  if (most == needed.end() || *most <= frames) return;
  fast->possible = false;
  fast->layer = LayerId(static_cast<int32_t>(most - needed.begin()));
  fast->missing = plan.granule_bytes * (*most - frames);
}

// The tensors that the evictions took from fast memory while they were alive. `usual`: those that happen anyway.
std::vector<TensorId> Leaving(const profile::Profile& profile, const MigrationPlan& plan,
                              const std::vector<ForcedEviction>& evicted, const std::vector<ForcedEviction>& usual) {
  absl::flat_hash_map<TensorId, const profile::Tensor*> tensors;
  for (const profile::Tensor& tensor : profile.tensors) tensors[tensor.id] = &tensor;
  std::vector<const Placement*> found;
  for (const Placement& placement : plan.placements) {
    const auto tensor = tensors.find(placement.tensor);
    if (tensor == tensors.end()) continue;
    const bool leaves = std::any_of(evicted.begin(), evicted.end(), [&](const ForcedEviction& eviction) {
      return LiesIn(plan, placement, eviction.granule) && profile::AliveIn(*tensor->second, eviction.layer) &&
             std::find(usual.begin(), usual.end(), eviction) == usual.end();
    });
    if (leaves) found.push_back(&placement);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->bytes > b->bytes; });
  std::vector<TensorId> leaving;
  for (const Placement* placement : found) leaving.push_back(placement->tensor);
  return leaving;
}

absl::Status Try(const profile::Profile& profile, const Machine& machine, const MigrationPlan& plan, const Held& held,
                 const ReplayResult& usual, Elsewhere* elsewhere) {
  const absl::StatusOr<ReplayResult> changed = ReplayHolding(profile, machine, plan, held);
  if (!changed.ok()) return changed.status();
  elsewhere->seconds = changed->seconds - usual.seconds;
  elsewhere->exposed_seconds = changed->exposed_seconds - usual.exposed_seconds;
  elsewhere->in = changed->in - usual.in;
  elsewhere->out = changed->out - usual.out;
  elsewhere->leaves = Leaving(profile, plan, changed->evicted, usual.evicted);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WhatIf> TryElsewhere(const profile::Profile& profile, const Machine& machine, const MigrationPlan& plan,
                                    TensorId tensor) {
  const auto placement = std::find_if(plan.placements.begin(), plan.placements.end(),
                                      [tensor](const Placement& candidate) { return candidate.tensor == tensor; });
  if (placement == plan.placements.end()) {
    return absl::NotFoundError(absl::StrCat("the plan has no tensor ", tensor.value()));
  }
  absl::StatusOr<ReplayResult> as_planned = Replay(profile, machine, plan);
  if (!as_planned.ok()) return as_planned.status();
  WhatIf result;
  result.as_planned = *std::move(as_planned);
  const std::vector<GranuleId> granules = GranulesOf(plan, *placement);
  CheckRoom(profile, plan, granules, &result.fast);
  if (result.fast.possible) {
    absl::Status status = Try(profile, machine, plan, {.fast = granules, .slow = {}}, result.as_planned, &result.fast);
    if (!status.ok()) return status;
  }
  absl::Status status = Try(profile, machine, plan, {.fast = {}, .slow = granules}, result.as_planned, &result.slow);
  if (!status.ok()) return status;
  return result;
}

}  // namespace thermocline::plan

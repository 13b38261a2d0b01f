#include "src/migrate/victim_policy.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace thermocline::migrate {
namespace {

using arena::Residency;

class LruPolicy final : public VictimPolicy {
 public:
  std::vector<GranuleId> Choose(const Residency& residency, int64_t wanted, int64_t) const override {
    std::vector<GranuleId> victims;
    for (GranuleId id = residency.OldestLocked(); id != Residency::kNone && std::ssize(victims) < wanted;
         id = residency.NewerLocked(id)) {
      if (residency.MayLeaveLocked(id)) victims.push_back(id);
    }
    return victims;
  }
};

class PlanPolicy final : public VictimPolicy {
 public:
  explicit PlanPolicy(const plan::MigrationPlan& plan) : layers_(std::ssize(plan.layers)) {
    for (int64_t layer = 0; layer < layers_; ++layer) {
      for (GranuleId id : plan.layers[layer].need) uses_.emplace_back(id, layer);
    }
    std::sort(uses_.begin(), uses_.end());
  }

  std::vector<GranuleId> Choose(const Residency& residency, int64_t wanted, int64_t now) const override {
    std::vector<std::pair<int64_t, GranuleId>> candidates;
    for (GranuleId id = residency.OldestLocked(); id != Residency::kNone; id = residency.NewerLocked(id)) {
      if (residency.MayLeaveLocked(id)) candidates.emplace_back(Distance(residency, id, now), id);
    }
    const auto live = std::stable_partition(candidates.begin(), candidates.end(),
                                            [](const auto& candidate) { return candidate.first == kDead; });
    // What came last is in use, whatever the plan says: taken again at once, granules that one instruction or one loop
    // needs together would chase each other out, for ever in the worst case. They leave after all others, in the order
    // in which they came.
    const int64_t live_count = candidates.end() - live;
    const int64_t recent = std::min(std::clamp(live_count / 2, kAtOnce, kRecent), live_count);
    // Of equals the least recently used goes: the candidates stand in that order.
    std::stable_sort(live, candidates.end() - recent, [](auto& a, auto& b) { return a.first > b.first; });
    const int64_t count = std::min<int64_t>(wanted, std::ssize(candidates));
    std::vector<GranuleId> victims;
    for (int64_t i = 0; i < count; ++i) victims.push_back(candidates[i].second);
    return victims;
  }

 private:
  static constexpr int64_t kRecent = 8;
  // One instruction may need so many granules besides the one that is brought in for it.
  static constexpr int64_t kAtOnce = Residency::kFewestFrames - 1;

  static constexpr int64_t kDead = std::numeric_limits<int64_t>::max();
  static constexpr int64_t kUnknown = kDead - 1;

  // Layers until the granule is used.
  int64_t Distance(const Residency& residency, GranuleId id, int64_t now) const {
    if (residency.IsDeadLocked(id)) return kDead;
    if (layers_ == 0) return kUnknown;
    const int64_t layer = now % layers_;
    const auto next = std::lower_bound(uses_.begin(), uses_.end(), std::make_pair(id, layer));
    if (next != uses_.end() && next->first == id) return next->second - layer;
    const auto first = std::lower_bound(uses_.begin(), next, std::make_pair(id, int64_t{0}));
    return first == next ? kUnknown : first->second + layers_ - layer;
  }

  int64_t layers_;
  std::vector<std::pair<GranuleId, int64_t>> uses_;  // by granule and layer
};

}  // namespace

std::unique_ptr<VictimPolicy> MakeLruPolicy() { return std::make_unique<LruPolicy>(); }

std::unique_ptr<VictimPolicy> MakePlanPolicy(const plan::MigrationPlan& plan) {
  return std::make_unique<PlanPolicy>(plan);
}

}  // namespace thermocline::migrate

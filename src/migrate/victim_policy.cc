#include "src/migrate/victim_policy.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"

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
      for (GranuleId id : plan.layers[layer].need) uses_[id].push_back(layer);
    }
  }

  std::vector<GranuleId> Choose(const Residency& residency, int64_t wanted, int64_t now) const override {
    std::vector<std::pair<int64_t, GranuleId>> candidates;
    for (GranuleId id = residency.OldestLocked(); id != Residency::kNone; id = residency.NewerLocked(id)) {
      if (residency.MayLeaveLocked(id)) candidates.emplace_back(Distance(residency, id, now), id);
    }
    const int64_t count = std::min<int64_t>(wanted, std::ssize(candidates));
    // What came last is in use, whatever the plan says: taken again at once, two such granules would chase each other
    // out for ever. They stand at the end of the candidates and are sorted apart.
    const int64_t recent = std::min(kRecent, std::ssize(candidates) / 4);
    // Of equals the least recently used goes: the candidates stand in that order.
    const auto farther = [](auto& a, auto& b) { return a.first > b.first; };
    std::stable_sort(candidates.begin(), candidates.end() - recent, farther);
    std::stable_sort(candidates.end() - recent, candidates.end(), farther);
    std::vector<GranuleId> victims;
    for (int64_t i = 0; i < count; ++i) victims.push_back(candidates[i].second);
    return victims;
  }

 private:
  static constexpr int64_t kRecent = 8;

  // Layers until the granule is used; dead ones first of all.
  int64_t Distance(const Residency& residency, GranuleId id, int64_t now) const {
    constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
    if (residency.IsDeadLocked(id)) return kNever;
    const auto found = uses_.find(id);
    if (found == uses_.end() || layers_ == 0) return kNever - 1;
    const std::vector<int64_t>& uses = found->second;
    const int64_t layer = now % layers_;
    const auto next = std::lower_bound(uses.begin(), uses.end(), layer);
    return next != uses.end() ? *next - layer : uses.front() + layers_ - layer;
  }

  int64_t layers_;
  absl::flat_hash_map<GranuleId, std::vector<int64_t>> uses_;
};

}  // namespace

std::unique_ptr<VictimPolicy> MakeLruPolicy() { return std::make_unique<LruPolicy>(); }

std::unique_ptr<VictimPolicy> MakePlanPolicy(const plan::MigrationPlan& plan) {
  return std::make_unique<PlanPolicy>(plan);
}

}  // namespace thermocline::migrate

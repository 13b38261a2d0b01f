#include "src/plan/interval_simulation.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

namespace thermocline::plan {
namespace {

constexpr int kMaxSteps = 12;

// What a simulated step knows about a granule.
struct GranuleState {
  bool resident = false;
  bool dirty = false;       // its slow copy is stale
  int32_t live_until = -1;  // position, counted on from this step's start
  int32_t last_use = -1;
  bool operator==(const GranuleState&) const = default;
};

class Simulation {
 public:
  Simulation(const GranuleTimeline& timeline, const IntervalSimulationOptions& options)
      : timeline_(timeline),
        options_(options),
        states_(timeline.granules.size()),
        uses_at_(timeline.layers),
        actions_(timeline.layers) {
    for (size_t g = 0; g < timeline.granules.size(); ++g) {
      const GranuleLife& life = timeline.granules[g];
      for (size_t u = 0; u < life.uses.size(); ++u) uses_at_[life.uses[u].layer].emplace_back(g, u);
      if (!life.uses.empty())
        states_[g].live_until = life.uses.back().layer - timeline.layers + life.uses.back().live_for;
      states_[g].dirty = true;
    }
    FillAtStart();
  }

  void Run(MigrationPlan* plan) {
    for (int step = 0; step < kMaxSteps; ++step) {
      const std::vector<GranuleState> before = states_;
      actions_.assign(timeline_.layers, LayerActions());
      for (int32_t layer = 0; layer < timeline_.layers; ++layer) RunLayer(layer);
      NextStep();
      start_ = before;
      if (before == states_) break;
    }
    plan->layers = actions_;
    for (LayerActions& actions : plan->layers) {
      std::stable_sort(actions.fetch.begin(), actions.fetch.end(),
                       [](const Fetch& a, const Fetch& b) { return a.deadline < b.deadline; });
    }
    for (size_t g = 0; g < start_.size(); ++g) {
      if (start_[g].resident) plan->resident_at_start.push_back(timeline_.granules[g].granule);
    }
  }

 private:
  bool InRegion(int32_t g) const {
    const int64_t id = timeline_.granules[g].granule.value();
    return id >= options_.region_begin && id < options_.region_end;
  }
  bool Live(int32_t g, int32_t layer) const {
    return timeline_.granules[g].always_live || states_[g].live_until >= layer;
  }
  int64_t Free() const { return options_.frames - resident_; }

  // The region first, then the rest as far as it goes.
  void FillAtStart() {
    for (const bool region : {true, false}) {
      for (size_t g = 0; g < states_.size() && Free() > 0; ++g) {
        if (InRegion(static_cast<int32_t>(g)) == region) SetResident(static_cast<int32_t>(g));
      }
    }
  }
  void SetResident(int32_t g) {
    states_[g].resident = true;
    ++resident_;
  }

  // Positions of the next step count from its own start.
  void NextStep() {
    for (GranuleState& state : states_) {
      state.live_until = std::max(state.live_until - timeline_.layers, -1);
      state.last_use = std::max(state.last_use - timeline_.layers, -timeline_.layers);
    }
  }

  // The position of the granule's first use at or after `from`.
  int32_t NextUse(int32_t g, int32_t from) const {
    const std::vector<GranuleUse>& uses = timeline_.granules[g].uses;
    if (uses.empty()) return from + 2 * timeline_.layers;
    const int32_t layer = from % timeline_.layers;
    const auto it = std::lower_bound(uses.begin(), uses.end(), layer,
                                     [](const GranuleUse& use, int32_t l) { return use.layer < l; });
    const int32_t distance = it != uses.end() ? it->layer - layer : uses.front().layer + timeline_.layers - layer;
    return from + distance;
  }

  void RunLayer(int32_t layer) {
    const int32_t mil = options_.interval_layers;
    const int32_t begin = layer / mil * mil;
    const int32_t end = std::min(begin + mil, timeline_.layers);
    const int32_t next_end = end == timeline_.layers ? end + mil : std::min(end + mil, timeline_.layers);
    const int32_t middle = begin + (end - begin) / 2;
    if (layer == begin) PlanPrefetch(end, next_end);
    if (layer == middle) EvictInTheMiddle(layer, next_end);
    Need(layer, next_end);
    // Prefetches come after what this layer needs: they take the frames that are left.
    StartPrefetches(layer, /*last_chance=*/layer >= middle);
    for (const auto& [g, u] : uses_at_[layer]) {
      const GranuleUse& use = timeline_.granules[g].uses[u];
      GranuleState& state = states_[g];
      state.dirty |= use.write;
      state.last_use = layer;
      state.live_until = layer + use.live_for;
    }
  }

  // What the next interval uses and is away, the most accessed first.
  void PlanPrefetch(int32_t next_begin, int32_t next_end) {
    prefetch_.clear();
    for (size_t g = 0; g < states_.size(); ++g) {
      const int32_t use = NextUse(static_cast<int32_t>(g), next_begin);
      if (states_[g].resident || use >= next_end) continue;
      int32_t accesses = 0;
      for (int32_t p = use; p < next_end; p = NextUse(static_cast<int32_t>(g), p + 1)) ++accesses;
      prefetch_.emplace_back(-accesses, use, static_cast<int32_t>(g));
    }
    std::sort(prefetch_.begin(), prefetch_.end());
  }

  void StartPrefetches(int32_t layer, bool last_chance) {
    std::vector<std::tuple<int32_t, int32_t, int32_t>> rest;
    for (const auto& entry : prefetch_) {
      const auto& [accesses, use, g] = entry;
      if (states_[g].resident || !Live(g, layer) || use <= layer) continue;
      // Room must stay for what is born until the interval's end.
      if (Free() <= 0) {
        rest.push_back(entry);
      } else {
        const std::vector<GranuleUse>& uses = timeline_.granules[g].uses;
        // What is only ever read stays clean, and leaves without being written out.
        const bool written = std::any_of(uses.begin(), uses.end(), [](const GranuleUse& u) { return u.write; });
        const int32_t due = NextUse(g, layer + 1);  // the interval that runs may use it too
        actions_[layer].fetch.push_back({timeline_.granules[g].granule, LayerId(due % timeline_.layers), written});
        SetResident(g);
        states_[g].dirty = false;
      }
    }
    prefetch_.clear();
    // Case 2: no fast space left. It has a chance until the middle; then it is waited for, or used where it is.
    if (!last_chance) prefetch_ = std::move(rest);
  }

  // Evicts what is used neither in the rest of this interval nor in the next, as far as room is wanted: for the
  // prefetches that are left, and for what is born until the next interval's end.
  void EvictInTheMiddle(int32_t layer, int32_t next_end) {
    int64_t wanted = static_cast<int64_t>(prefetch_.size()) - Free();
    for (size_t g = 0; g < states_.size(); ++g) {
      const int32_t use = NextUse(static_cast<int32_t>(g), layer);
      if (!states_[g].resident && use < next_end && !Live(static_cast<int32_t>(g), layer)) ++wanted;
    }
    std::vector<std::tuple<bool, size_t, int32_t>> victims;  // live after dead, then the least used
    for (size_t g = 0; g < states_.size(); ++g) {
      const int32_t i = static_cast<int32_t>(g);
      if (!states_[g].resident || InRegion(i) || NextUse(i, layer) < next_end) continue;
      victims.emplace_back(Live(i, layer), timeline_.granules[g].uses.size(), i);
    }
    std::sort(victims.begin(), victims.end());
    for (size_t v = 0; v < victims.size() && wanted > 0; ++v, --wanted) Evict(std::get<2>(victims[v]), layer);
  }

  void Evict(int32_t g, int32_t layer) {
    GranuleState& state = states_[g];
    if (Live(g, layer) && state.dirty) actions_[layer].write_back.push_back(timeline_.granules[g].granule);
    actions_[layer].release.push_back(timeline_.granules[g].granule);
    state.resident = false;
    state.dirty = false;
    --resident_;
  }

  // Makes room by what is used last of all that this layer doesn't use.
  bool EvictOne(int32_t layer, int32_t next_end) {
    int32_t victim = -1;
    std::tuple<bool, bool, bool, int32_t> best{};
    for (size_t g = 0; g < states_.size(); ++g) {
      const int32_t i = static_cast<int32_t>(g);
      const int32_t use = NextUse(i, layer);
      if (!states_[g].resident || use == layer) continue;
      const auto key = std::make_tuple(InRegion(i), use < next_end, Live(i, layer), states_[g].last_use);
      if (victim >= 0 && key >= best) continue;
      victim = i;
      best = key;
    }
    if (victim < 0) return false;
    CancelFetch(victim, layer);
    Evict(victim, layer);
    return true;
  }

  // A prefetch of this same layer that loses its frame again never starts.
  void CancelFetch(int32_t g, int32_t layer) {
    std::vector<Fetch>& fetches = actions_[layer].fetch;
    const GranuleId id = timeline_.granules[g].granule;
    fetches.erase(std::remove_if(fetches.begin(), fetches.end(), [id](const Fetch& f) { return f.granule == id; }),
                  fetches.end());
  }

  void Need(int32_t layer, int32_t next_end) {
    for (const auto& [g, u] : uses_at_[layer]) {
      const GranuleUse& use = timeline_.granules[g].uses[u];
      const GranuleId id = timeline_.granules[g].granule;
      if (!states_[g].resident) {
        const bool live = Live(g, layer);
        if (options_.use_in_place && Free() <= 0) continue;
        if (options_.use_in_place && live) continue;
        if (Free() <= 0 && !EvictOne(layer, next_end)) continue;
        if (live) {
          actions_[layer].fetch.push_back({id, LayerId(layer), use.write});
          states_[g].dirty = false;
        } else {
          actions_[layer].provide.push_back(id);
        }
        SetResident(g);
      }
      actions_[layer].need.push_back(id);
    }
  }

  const GranuleTimeline& timeline_;
  const IntervalSimulationOptions options_;
  std::vector<GranuleState> states_;
  std::vector<GranuleState> start_;
  std::vector<std::vector<std::pair<int32_t, int32_t>>> uses_at_;  // by layer: granule, use
  std::vector<LayerActions> actions_;
  std::vector<std::tuple<int32_t, int32_t, int32_t>> prefetch_;  // minus accesses, first use, granule
  int64_t resident_ = 0;
};

}  // namespace

void SimulateIntervals(const GranuleTimeline& timeline, const IntervalSimulationOptions& options, MigrationPlan* plan) {
  Simulation(timeline, options).Run(plan);
}

}  // namespace thermocline::plan

#include "src/plan/plan_emitter.h"

#include <algorithm>

#include "src/plan/link_schedule.h"

namespace thermocline::plan {
namespace {

class Emitter {
 public:
  Emitter(const GranuleTimeline& timeline, const std::vector<Gap>& gaps, MigrationPlan* plan)
      : timeline_(timeline), gaps_(gaps), plan_(plan), resident_(timeline.granules.size(), true) {}

  void Emit() {
    for (const GranuleLife& life : timeline_.granules) {
      for (const GranuleUse& use : life.uses) At(use.layer).need.push_back(life.granule);
    }
    MarkWrites();
    for (size_t i = 0; i < gaps_.size(); ++i) {
      if (gaps_[i].evicted) EmitGap(i);
    }
    for (size_t g = 0; g < resident_.size(); ++g) {
      if (resident_[g]) plan_->resident_at_start.push_back(timeline_.granules[g].granule);
    }
    for (LayerActions& actions : plan_->layers) {
      std::stable_sort(actions.fetch.begin(), actions.fetch.end(),
                       [](const Fetch& a, const Fetch& b) { return a.deadline < b.deadline; });
    }
    SortWrappedFetches();
  }

 private:
  LayerActions& At(int32_t position) {
    const int32_t layers = timeline_.layers;
    return plan_->layers[((position % layers) + layers) % layers];
  }

  // Which evicted gaps write back, as the link's schedule sees it.
  void MarkWrites() {
    writes_.assign(gaps_.size(), false);
    for (const Transfers& t : CollectTransfers(gaps_, timeline_.layers)) writes_[t.gap] = t.writes;
  }

  // The frame is away at the start of layer 0, seen before that layer's actions.
  bool AwayAtStart(int32_t released, int32_t back) const {
    // Away in the positions (released, back]: released at the start of `released`, back from the actions of `back` on.
    const int32_t layers = timeline_.layers;
    for (int32_t start = -layers; start <= 2 * layers; start += layers) {
      if (released < start && start <= back) return true;
    }
    return false;
  }

  void EmitGap(size_t i) {
    const Gap& gap = gaps_[i];
    const GranuleLife& life = timeline_.granules[gap.granule];
    if (gap.use < 0) {  // never touched
      resident_[gap.granule] = false;
      return;
    }
    const bool live_part_left = i > 0 && gap.kind == GapKind::kDead && gaps_[i - 1].kind == GapKind::kLiveToDeath &&
                                gaps_[i - 1].granule == gap.granule && gaps_[i - 1].use == gap.use &&
                                gaps_[i - 1].evicted;
    const int32_t write = gap.write_at == Gap::kAtOnce ? gap.WriteFrom() : gap.write_at;
    const int32_t release = writes_[i] ? std::max(gap.begin + 1, write) : gap.begin + 1;
    if (writes_[i]) At(write).write_back.push_back(life.granule);
    if (!live_part_left) At(release).release.push_back(life.granule);
    // Where it comes back: a gap that dies is followed by the dead gap, which brings it back.
    if (gap.kind == GapKind::kLive) {
      EmitFetch(gap, life);
    } else if (gap.kind == GapKind::kDead) {
      At(gap.end).provide.push_back(life.granule);
    }
    const int32_t back = gap.kind == GapKind::kLive ? gap.free_to + 1 : gap.end;
    const int32_t released = live_part_left ? gap.begin : release;
    if (AwayAtStart(released, back)) resident_[gap.granule] = false;
  }

  void EmitFetch(const Gap& gap, const GranuleLife& life) {
    Fetch fetch;
    fetch.granule = life.granule;
    fetch.deadline = LayerId(gap.end % timeline_.layers);
    // Written before it leaves again?
    for (size_t n = 1; n <= life.uses.size(); ++n) {
      const size_t use = (gap.use + n) % life.uses.size();
      fetch.for_writing |= life.uses[use].write;
      if (Leaves(gap.granule, static_cast<int32_t>(use))) break;
    }
    At(std::max(gap.free_to + 1, gap.begin + 1)).fetch.push_back(fetch);
  }

  // Is the gap after this use evicted?
  bool Leaves(int32_t granule, int32_t use) {
    const auto first = std::lower_bound(gaps_.begin(), gaps_.end(), std::make_pair(granule, use),
                                        [](const Gap& gap, const std::pair<int32_t, int32_t>& key) {
                                          return std::make_pair(gap.granule, gap.use) < key;
                                        });
    for (auto it = first; it != gaps_.end() && it->granule == granule && it->use == use; ++it) {
      if (it->evicted) return true;
    }
    return false;
  }

  // A deadline before the layer is one of the next step: it comes after those of this step.
  void SortWrappedFetches() {
    for (int32_t l = 0; l < timeline_.layers; ++l) {
      std::vector<Fetch>& fetches = plan_->layers[l].fetch;
      std::stable_partition(fetches.begin(), fetches.end(), [l](const Fetch& f) { return f.deadline.value() >= l; });
    }
  }

  const GranuleTimeline& timeline_;
  const std::vector<Gap>& gaps_;
  MigrationPlan* plan_;
  std::vector<bool> resident_;
  std::vector<bool> writes_;
};

}  // namespace

void EmitActions(const GranuleTimeline& timeline, const std::vector<Gap>& gaps, MigrationPlan* plan) {
  Emitter(timeline, gaps, plan).Emit();
}

}  // namespace thermocline::plan

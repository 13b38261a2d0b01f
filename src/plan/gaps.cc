#include "src/plan/gaps.h"

#include <algorithm>

namespace thermocline::plan {
namespace {

// Copying a granule out while it is read closes it to writes first, and opens its frame again afterwards: two changes
// of protection that interrupt every core, where a granule that nobody reads is moved out of sight once. Against that
// its frame is free later, by this share of a step at most.
constexpr double kShortReads = 0.01;

// The positions, at or before each use (at its layer), of the last write; a whole step back at most.
std::vector<int32_t> LastWrites(const std::vector<GranuleUse>& uses, int32_t layers) {
  const auto last = std::find_if(uses.rbegin(), uses.rend(), [](const GranuleUse& use) { return use.write; });
  std::vector<int32_t> positions;
  positions.reserve(uses.size());
  for (const GranuleUse& use : uses) {
    if (use.write) {
      positions.push_back(use.layer);
    } else if (last == uses.rend()) {
      positions.push_back(use.layer - layers);  // never written: as if a whole step ago, so that it counts as clean
    } else {
      positions.push_back(!positions.empty() ? positions.back() : last->layer - layers);
    }
  }
  return positions;
}

void AddGaps(const GranuleTimeline& timeline, int32_t g, std::vector<Gap>* gaps) {
  const GranuleLife& life = timeline.granules[g];
  const std::vector<int32_t> last_writes = LastWrites(life.uses, timeline.layers);
  for (size_t i = 0; i < life.uses.size(); ++i) {
    const GranuleUse& use = life.uses[i];
    Gap gap;
    gap.granule = g;
    gap.use = static_cast<int32_t>(i);
    gap.begin = use.layer;
    gap.end = use.layer + use.next;
    gap.last_write = last_writes[i];
    if (use.live_for >= use.next) {
      gap.kind = GapKind::kLive;
      gaps->push_back(gap);
      continue;
    }
    if (use.live_for > 0) {
      Gap live = gap;
      live.kind = GapKind::kLiveToDeath;
      live.end = use.layer + use.live_for + 1;
      gaps->push_back(live);
    }
    gap.kind = GapKind::kDead;
    gap.begin = use.layer + use.live_for;
    gaps->push_back(gap);
  }
}

}  // namespace

std::vector<Gap> MakeGaps(const GranuleTimeline& timeline) {
  std::vector<Gap> gaps;
  for (size_t g = 0; g < timeline.granules.size(); ++g) {
    if (timeline.granules[g].uses.empty()) {
      Gap gap;
      gap.granule = static_cast<int32_t>(g);
      gap.use = -1;
      gap.begin = -1;
      gap.end = timeline.layers;
      gaps.push_back(gap);
    } else {
      AddGaps(timeline, static_cast<int32_t>(g), &gaps);
    }
  }
  return gaps;
}

std::vector<int32_t> NeededFrames(const GranuleTimeline& timeline) {
  std::vector<int32_t> needed(timeline.layers, 0);
  for (const GranuleLife& life : timeline.granules) {
    for (const GranuleUse& use : life.uses) ++needed[use.layer];
  }
  return needed;
}

int64_t TrimToBudget(int64_t frames, GranuleTimeline* timeline) {
  std::vector<int32_t> needed = NeededFrames(*timeline);
  if (std::all_of(needed.begin(), needed.end(), [&](int32_t n) { return n <= frames; })) return 0;
  std::vector<int32_t> order(timeline->granules.size());
  for (size_t g = 0; g < order.size(); ++g) order[g] = static_cast<int32_t>(g);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return timeline->granules[a].uses.size() < timeline->granules[b].uses.size();
  });
  int64_t taken = 0;
  for (const int32_t g : order) {
    std::vector<GranuleUse>& uses = timeline->granules[g].uses;
    for (size_t i = uses.size(); i-- > 0;) {
      if (needed[uses[i].layer] <= frames) continue;
      --needed[uses[i].layer];
      ++taken;
      const GranuleUse gone = uses[i];
      const size_t before = (i + uses.size() - 1) % uses.size();
      if (uses.size() > 1) {
        // The gap before it and the one after it become one. It ends live if the second did: what is created by demand
        // in between has to be fetched then.
        uses[before].live_for = gone.live_for > 0 ? uses[before].next + gone.live_for : uses[before].live_for;
        uses[before].next += gone.next;
        uses[before].write |= gone.write;
      }
      uses.erase(uses.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return taken;
}

std::vector<double> StartTimes(const std::vector<double>& layer_seconds) {
  std::vector<double> starts = {0};
  for (const double seconds : layer_seconds) starts.push_back(starts.back() + seconds);
  return starts;
}

double PositionStart(const std::vector<double>& starts, int64_t position) {
  const int64_t layers = static_cast<int64_t>(starts.size()) - 1;
  const int64_t step = position >= 0 ? position / layers : -((layers - 1 - position) / layers);
  return starts[position - step * layers] + static_cast<double>(step) * starts.back();
}

void DelayWrites(const std::vector<double>& starts, std::vector<Gap>* gaps) {
  for (Gap& gap : *gaps) {
    if (gap.use < 0 || gap.kind == GapKind::kDead) continue;
    const double reads = PositionStart(starts, gap.begin + 1) - PositionStart(starts, gap.last_write + 1);
    gap.late_write = reads <= kShortReads * starts.back();
  }
}

}  // namespace thermocline::plan

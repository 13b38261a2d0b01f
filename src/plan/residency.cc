#include "src/plan/residency.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <utility>

namespace thermocline::plan {
namespace {

// A gap that could give way now; the greatest gives way first.
struct Candidate {
  int kind_rank;  // dead before live
  double reach;
  int64_t last;  // the last position that it covers
  int32_t gap;
  bool operator<(const Candidate& other) const {
    return std::tie(kind_rank, reach, other.gap) < std::tie(other.kind_rank, other.reach, gap);
  }
};

bool IsClean(const Gap& gap, int32_t layers) { return gap.last_write <= gap.begin - layers; }

}  // namespace

Residency::Residency(int32_t granules, std::vector<int32_t> caps, std::vector<Gap>* gaps, ResidencyOptions options)
    : granules_(granules), caps_(std::move(caps)), gaps_(gaps), options_(options) {
  Recount();
}

void Residency::Recount() {
  held_.assign(caps_.size(), granules_);
  for (Gap& gap : *gaps_) {
    if (gap.forced) gap.evicted = true;
    if (gap.evicted) Add(gap, -1);
  }
}

void Residency::Add(const Gap& gap, int32_t change) {
  const int32_t layers = static_cast<int32_t>(caps_.size());
  int32_t layer = gap.free_from % layers;
  if (layer < 0) layer += layers;
  for (int32_t position = gap.free_from; position <= gap.free_to; ++position) {
    held_[layer] += change;
    if (++layer == layers) layer = 0;
  }
}

void Residency::Evict(Gap* gap) {
  gap->evicted = true;
  Add(*gap, -1);
  // What leaves before it dies is away while it is dead, too.
  Gap* dead = gap + 1;
  if (gap->kind != GapKind::kLiveToDeath || dead->evicted) return;
  dead->evicted = true;
  Add(*dead, -1);
}

bool Residency::FollowsEvictedLife(int32_t i) const {
  const Gap& gap = (*gaps_)[i];
  if (gap.kind != GapKind::kDead || i == 0) return false;
  const Gap& before = (*gaps_)[i - 1];
  return before.kind == GapKind::kLiveToDeath && before.granule == gap.granule && before.use == gap.use &&
         before.evicted;
}

int32_t Residency::Excess() const {
  int32_t excess = 0;
  for (size_t l = 0; l < caps_.size(); ++l) excess = std::max(excess, held_[l] - caps_[l]);
  return excess;
}

// Where the step is emptiest of live content: decisions there reach over the least.
int64_t Residency::StartLayer() const {
  std::vector<int32_t> live(caps_.size(), 0);
  for (const Gap& gap : *gaps_) {
    if (gap.kind == GapKind::kDead) continue;
    for (int32_t p = gap.begin + 1; p < gap.end; ++p) ++live[p % static_cast<int32_t>(caps_.size())];
  }
  return std::min_element(live.begin(), live.end()) - live.begin();
}

int64_t Residency::EvictUntilFits() {
  if (Excess() <= 0) return 0;
  const int32_t layers = static_cast<int32_t>(caps_.size());
  const int64_t start = StartLayer();
  std::vector<std::vector<std::pair<int64_t, int32_t>>> arriving(layers);  // by layer from `start`: last position, gap
  for (size_t i = 0; i < gaps_->size(); ++i) {
    const Gap& gap = (*gaps_)[i];
    if (gap.evicted || gap.banned || gap.free_to < gap.free_from) continue;
    for (int64_t shift = -2 * layers; shift <= 2 * layers; shift += layers) {
      const int64_t from = std::max<int64_t>(gap.free_from + shift, start);
      const int64_t to = gap.free_to + shift;
      if (to < from || from >= start + layers) continue;
      arriving[from - start].emplace_back(to, static_cast<int32_t>(i));
    }
  }
  int64_t evicted = 0;
  std::priority_queue<Candidate> candidates;
  for (int64_t position = start; position < start + layers; ++position) {
    for (const auto& [last, i] : arriving[position - start]) {
      const Gap& gap = (*gaps_)[i];
      const double bonus = IsClean(gap, layers) ? options_.clean_bonus * layers : 0;
      candidates.push({gap.kind == GapKind::kDead, static_cast<double>(last) + bonus, last, i});
    }
    const int64_t layer = position % layers;
    while (held_[layer] > caps_[layer] && !candidates.empty()) {
      const Candidate candidate = candidates.top();
      candidates.pop();
      Gap& gap = (*gaps_)[candidate.gap];
      if (gap.evicted || candidate.last < position) continue;
      Evict(&gap);
      ++evicted;
    }
  }
  return evicted;
}

void Residency::ForceFit() {
  const int32_t layers = static_cast<int32_t>(caps_.size());
  if (Excess() <= 0) return;
  const int64_t start = StartLayer();
  for (int64_t position = start; position < start + layers; ++position) {
    const int64_t layer = position % layers;
    if (held_[layer] > caps_[layer]) ForceFitLayer(layer);
  }
}

// Lets the gap's frame be free at `position`, which lies inside the gap.
void Residency::Widen(int64_t position, Gap* gap) {
  const Gap old = *gap;
  const int32_t at = static_cast<int32_t>(position);
  const bool empty = gap->free_to < gap->free_from;
  gap->free_from = empty ? at : std::min(gap->free_from, at);
  gap->free_to = empty ? at : std::max(gap->free_to, at);
  if (!gap->evicted) return Evict(gap);
  // Only what is new counts; it lies on one side.
  Gap added = *gap;
  if (!empty && at < old.free_from) added.free_to = old.free_from - 1;
  if (!empty && at > old.free_to) added.free_from = old.free_to + 1;
  Add(added, -1);
}

bool Residency::ForceFitLayer(int64_t layer) {
  const int32_t layers = static_cast<int32_t>(caps_.size());
  struct Choice {
    int rank;          // dead; put off a fetch that isn't due next; evict anew; put off one that is
    int64_t distance;  // to the gap's end: the farthest first
    int64_t position;
    int32_t gap;
    bool operator<(const Choice& other) const {
      return std::tie(rank, other.distance, gap) < std::tie(other.rank, distance, other.gap);
    }
  };
  std::vector<Choice> choices;
  for (size_t i = 0; i < gaps_->size(); ++i) {
    const Gap& gap = (*gaps_)[i];
    for (int64_t position = layer - layers; position <= layer + 2 * layers; position += layers) {
      if (position <= gap.begin || position >= gap.end) continue;
      if (gap.evicted && position >= gap.free_from && position <= gap.free_to) continue;
      const int64_t distance = gap.end - position;
      const int rank = gap.kind == GapKind::kDead ? 0 : gap.evicted ? (distance > 1 ? 1 : 3) : 2;
      choices.push_back({rank, distance, position, static_cast<int32_t>(i)});
    }
  }
  const size_t wanted = std::min<size_t>(choices.size(), std::max(2 * (held_[layer] - caps_[layer]), 0));
  std::partial_sort(choices.begin(), choices.begin() + static_cast<std::ptrdiff_t>(wanted), choices.end());
  for (size_t c = 0; c < choices.size(); ++c) {
    if (c == wanted) std::sort(choices.begin() + static_cast<std::ptrdiff_t>(c), choices.end());
    const Choice& choice = choices[c];
    if (held_[layer] <= caps_[layer]) return true;
    Gap& gap = (*gaps_)[choice.gap];
    // A life that ended early may have taken its dead gap along.
    if (gap.evicted && choice.position >= gap.free_from && choice.position <= gap.free_to) continue;
    Widen(choice.position, &gap);
  }
  return held_[layer] <= caps_[layer];
}

bool Residency::Fits(const Gap& gap) const {
  const int32_t layers = static_cast<int32_t>(caps_.size());
  for (int32_t p = gap.free_from; p <= gap.free_to; ++p) {
    const int32_t layer = ((p % layers) + layers) % layers;
    if (held_[layer] >= caps_[layer]) return false;
  }
  return true;
}

void Residency::TakeBack() {
  std::vector<int32_t> order;
  for (size_t i = 0; i < gaps_->size(); ++i) {
    if ((*gaps_)[i].evicted && !(*gaps_)[i].forced) order.push_back(static_cast<int32_t>(i));
  }
  // What costs transfers first, and of that the shortest, which helped least.
  std::stable_sort(order.begin(), order.end(), [this](int32_t a, int32_t b) {
    const Gap& x = (*gaps_)[a];
    const Gap& y = (*gaps_)[b];
    const auto key = [](const Gap& gap) {
      return std::make_tuple(gap.kind == GapKind::kDead, gap.free_to - gap.free_from);
    };
    return key(x) < key(y);
  });
  for (const int32_t i : order) {
    Gap& gap = (*gaps_)[i];
    if (!Fits(gap) || FollowsEvictedLife(i)) continue;
    gap.evicted = false;
    Add(gap, +1);
  }
}

}  // namespace thermocline::plan

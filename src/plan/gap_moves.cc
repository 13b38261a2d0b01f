#include "src/plan/gap_moves.h"

#include <algorithm>
#include <limits>

namespace thermocline::plan {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

int32_t Around(int32_t position, int32_t layers) { return ((position % layers) + layers) % layers; }

}  // namespace

GapMoves::GapMoves(int32_t layers) : layers_(layers), held_(static_cast<size_t>(layers) + 1) {}

void GapMoves::SetPrices(absl::Span<const double> frame, absl::Span<const double> fetch, absl::Span<const double> write,
                         double late_fetch, double late_write) {
  for (size_t l = 0; l < frame.size(); ++l) held_[l + 1] = held_[l] + frame[l];
  fetch_ = fetch;
  write_ = write;
  late_fetch_ = late_fetch;
  late_write_ = late_write;
}

GapMoves::Cursor GapMoves::At(int32_t position) const {
  const int32_t layer = Around(position, layers_);
  const int32_t rounds = (position - layer) / layers_;
  return {layer, rounds * held_.back()};
}

void GapMoves::Advance(Cursor* at) const {
  if (++at->layer < layers_) return;
  at->layer = 0;
  at->before += held_.back();
}

// The cheapest way out of a gap's frame and back, whatever it costs; never: where no layer would have the frame.
GapMoves::Priced GapMoves::Leave(const Gap& gap, bool pays_write) const {
  Priced best;
  best.cost = kNever;
  if (gap.end - gap.begin < 2) return best;
  // Out: by a write-back before the gap, by one that the step waits for, or by one within the gap.
  Cursor at = At(gap.begin + 1);
  double out = Held(at);
  GapMove move{.leaves = true, .free_from = gap.begin + 1};
  if (pays_write) {
    double least = late_write_;
    move.late_write = true;
    Cursor before = At(gap.WriteFrom());
    for (int32_t p = gap.WriteFrom(); p <= gap.begin; ++p, Advance(&before)) {
      if (write_[before.layer] < least) least = write_[before.layer], move.write = p, move.late_write = false;
    }
    out += least;
  }
  const bool comes_back = gap.kind == GapKind::kLive;
  for (int32_t p = gap.begin + 1; p < gap.end; ++p) {
    const double held = Held(at);
    if (comes_back && p > move.free_from && out - held + fetch_[at.layer] < best.cost) {
      best = {out - held + fetch_[at.layer], move};
      best.move.fetch = p;
      best.move.free_to = p - 1;
    }
    const double write = write_[at.layer];
    Advance(&at);
    if (pays_write && p + 1 < gap.end && write + Held(at) < out) {
      out = write + Held(at);
      move.write = p;
      move.late_write = false;
      move.free_from = p + 1;
    }
  }
  const double back = out - Held(at) + (comes_back ? late_fetch_ : 0);
  if (back < best.cost) {
    best = {back, move};
    best.move.late_fetch = comes_back;
    best.move.free_to = gap.end - 1;
  }
  return best;
}

double GapMoves::Choose(absl::Span<const Gap> gaps, std::vector<GapMove>* moves) const {
  moves->assign(gaps.size(), GapMove());
  // From the first gap that follows a write of this step on: those before it follow the last write, a step ago.
  size_t start = 0;
  while (start < gaps.size() && gaps[start].last_write < 0) ++start;
  if (start == gaps.size()) start = 0;
  double cost = 0;
  for (size_t done = 0; done < gaps.size();) {
    const size_t k = (start + done) % gaps.size();
    const bool dead = gaps[k].kind == GapKind::kDead;
    const bool clean = gaps[k].last_write <= gaps[k].begin - layers_;
    if (!dead && !clean) {
      cost += ChooseEpoch(gaps, start, &done, moves);
      continue;
    }
    const Priced leave = Leave(gaps[k], false);
    if (leave.cost < 0 || (dead && leave.cost == 0)) {
      (*moves)[k] = leave.move;
      cost += leave.cost;
    }
    ++done;
  }
  return cost;
}

// The gaps that share one write-back, from the `done`th after `start` on.
double GapMoves::ChooseEpoch(absl::Span<const Gap> gaps, size_t start, size_t* done,
                             std::vector<GapMove>* moves) const {
  const auto at = [&](size_t d) { return (start + d) % gaps.size(); };
  const int32_t written = Around(gaps[at(*done)].last_write, layers_);
  size_t end = *done;
  while (end < gaps.size() && gaps[at(end)].kind != GapKind::kDead &&
         Around(gaps[at(end)].last_write, layers_) == written) {
    ++end;
  }
  // Backwards: with which gap it is best to begin, and so to pay; those after it leave for nothing but a fetch.
  double after = 0;
  double best = 0;
  size_t first = end;
  GapMove first_move;
  for (size_t d = end; d-- > *done;) {
    const Priced paying = Leave(gaps[at(d)], true);
    if (paying.cost + after < best) {
      best = paying.cost + after;
      first = d;
      first_move = paying.move;
    }
    const Priced leave = Leave(gaps[at(d)], false);
    if (leave.cost >= 0) continue;
    (*moves)[at(d)] = leave.move;
    after += leave.cost;
  }
  for (size_t d = *done; d < std::min(first, end); ++d) (*moves)[at(d)] = GapMove();
  if (first < end) (*moves)[at(first)] = first_move;
  *done = end;
  return best;
}

}  // namespace thermocline::plan

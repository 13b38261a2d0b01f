#include "src/plan/link_schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace thermocline::plan {
namespace {

struct Busy {
  double start;
  double end;
};

// Does evicted gap `gap` need a write-back, when `previous` is the position at which the evicted gap before it (of the
// same granule, possibly itself a step ago) began? Not when the last write was before that: the slow copy is valid.
bool NeedsWrite(const Gap& gap, int32_t previous) { return gap.last_write > previous; }

// Lays the fetches backwards, twice around, so that the second time sees what the first pushed over the step's start.
std::vector<Busy> LayFetches(const std::vector<Gap>& gaps, const std::vector<double>& starts, const LinkModel& link,
                             std::vector<Transfers>* transfers) {
  const double step = starts.back();
  const double seconds = link.in_seconds * link.stretch;
  std::vector<std::pair<double, Transfers*>> order;  // deadline within the step
  for (Transfers& t : *transfers) {
    if (t.fetches) order.emplace_back(std::fmod(PositionStart(starts, gaps[t.gap].end), step), &t);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Busy> busy;
  double cursor = std::numeric_limits<double>::infinity();
  for (int round = 1; round >= 0; --round) {
    for (auto& [deadline, t] : order) {
      const double end = std::min(cursor, deadline + round * step - link.guard_seconds - link.latency_seconds);
      cursor = end - seconds;
      if (round == 1) continue;
      // Back to the gap's own positions.
      t->fetch_start = cursor + (PositionStart(starts, gaps[t->gap].end) - deadline);
      busy.push_back({cursor, end});
    }
  }
  std::reverse(busy.begin(), busy.end());
  return busy;
}

// Lays the write-backs forward into the time that `busy` leaves, twice around.
void LayWrites(const std::vector<Gap>& gaps, const std::vector<double>& starts, const LinkModel& link,
               const std::vector<Busy>& busy, std::vector<Transfers>* transfers) {
  const double step = starts.back();
  const int64_t layers = static_cast<int64_t>(starts.size()) - 1;
  std::vector<std::pair<double, Transfers*>> order;  // release within the step
  std::vector<Busy> around;                          // busy over three steps, the first of them before the start
  for (int round = -1; round <= 2; ++round) {
    for (const Busy& b : busy) around.push_back({b.start + round * step, b.end + round * step});
  }
  std::stable_sort(around.begin(), around.end(), [](const Busy& a, const Busy& b) { return a.start < b.start; });
  for (Transfers& t : *transfers) {
    if (!t.writes) continue;
    const int64_t after = (gaps[t.gap].WriteFrom() % layers + layers) % layers;
    order.emplace_back(starts[after], &t);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  double cursor = -std::numeric_limits<double>::infinity();
  size_t next = 0;
  for (int round = 0; round < 2; ++round) {
    for (auto& [release, t] : order) {
      cursor = std::max(cursor, release + round * step);
      double left = link.out_seconds * link.stretch;
      while (next < around.size() && around[next].end <= cursor) ++next;
      while (!link.full_duplex && next < around.size() && around[next].start < cursor + left) {
        left -= std::max(0.0, around[next].start - cursor);
        cursor = std::max(cursor, around[next].end);
        ++next;
      }
      cursor += left;
      const double own = PositionStart(starts, gaps[t->gap].WriteFrom());
      t->write_end = cursor + link.latency_seconds + own - (release + round * step);
    }
  }
}

}  // namespace

std::vector<Transfers> CollectTransfers(const std::vector<Gap>& gaps, int32_t layers) {
  std::vector<Transfers> transfers;
  for (size_t first = 0; first < gaps.size();) {
    size_t last = first;
    while (last < gaps.size() && gaps[last].granule == gaps[first].granule) ++last;
    // The last evicted live gap of the granule is the one before the first, a step earlier.
    int32_t previous = std::numeric_limits<int32_t>::min();
    for (size_t i = first; i < last; ++i) {
      if (gaps[i].evicted && gaps[i].kind != GapKind::kDead) previous = gaps[i].begin - layers;
    }
    for (size_t i = first; i < last; ++i) {
      if (!gaps[i].evicted || gaps[i].kind == GapKind::kDead) continue;
      Transfers t;
      t.gap = static_cast<int32_t>(i);
      t.writes = NeedsWrite(gaps[i], previous);
      t.fetches = gaps[i].kind == GapKind::kLive;
      transfers.push_back(t);
      previous = gaps[i].begin;
    }
    first = last;
  }
  return transfers;
}

std::vector<Transfers> ScheduleLink(const std::vector<Gap>& gaps, const std::vector<double>& starts,
                                    const LinkModel& link) {
  std::vector<Transfers> transfers = CollectTransfers(gaps, static_cast<int32_t>(starts.size()) - 1);
  const std::vector<Busy> busy = LayFetches(gaps, starts, link, &transfers);
  LayWrites(gaps, starts, link, busy, &transfers);
  return transfers;
}

}  // namespace thermocline::plan

#include "src/runtime/rhythm.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace thermocline::runtime {
namespace {

// Periods that are looked at closely, where no exact one explains the past.
constexpr size_t kMostInexact = 16;
// So many equal events say that two places of the sequence are the same place again.
constexpr int64_t kContext = 4;
// Events that may be missing or too many at one place.
constexpr int64_t kMostSkipped = 4;

// The newest event first; what came only once can't be part of a rhythm.
std::vector<RhythmEvent> NewestFirst(absl::Span<const RhythmEvent> events) {
  absl::flat_hash_map<uint64_t, int> counts;
  for (const RhythmEvent& event : events) ++counts[event.key];
  std::vector<RhythmEvent> recurring;
  for (auto event = events.rbegin(); event != events.rend(); ++event) {
    if (counts[event->key] > 1) recurring.push_back(*event);
  }
  return recurring;
}

// For each distance p, how many of the newest events equal those p before them (the Z function; Gusfield 1997).
std::vector<int64_t> RunsByPeriod(const std::vector<RhythmEvent>& s) {
  const int64_t n = std::ssize(s);
  std::vector<int64_t> z(n, 0);
  for (int64_t i = 1, left = 0, right = 0; i < n; ++i) {
    if (i < right) z[i] = std::min(right - i, z[i - left]);
    while (i + z[i] < n && s[z[i]].key == s[i + z[i]].key) ++z[i];
    if (i + z[i] > right) {
      left = i;
      right = i + z[i];
    }
  }
  return z;
}

bool SameFrom(const std::vector<RhythmEvent>& s, int64_t a, int64_t b) {
  for (int64_t i = 0; i < kContext; ++i) {
    if (b + i >= std::ssize(s)) return i > 0;
    if (s[a + i].key != s[b + i].key) return false;
  }
  return true;
}

// As a run by period, but with a few events missing or too many.
int64_t NoisyRun(const std::vector<RhythmEvent>& s, int64_t period, double most_noise) {
  const int64_t n = std::ssize(s);
  int64_t a = 0;
  int64_t noise = 0;
  for (int64_t b = period; b < n;) {
    if (s[a].key == s[b].key) {
      ++a;
      ++b;
      continue;
    }
    int64_t skipped_a = 0, skipped_b = 0;
    for (int64_t total = 1; total <= kMostSkipped && skipped_a + skipped_b == 0; ++total) {
      for (int64_t i = 0; i <= total; ++i) {
        if (b + total - i >= n || a + i >= n || !SameFrom(s, a + i, b + total - i)) continue;
        skipped_a = i;
        skipped_b = total - i;
        break;
      }
    }
    noise += skipped_a + skipped_b;
    if (skipped_a + skipped_b == 0 || noise > 2 + most_noise * static_cast<double>(a)) break;
    a += skipped_a;
    b += skipped_b;
  }
  return a;
}

class Search {
 public:
  Search(std::vector<RhythmEvent> newest_first, const RhythmOptions& options)
      : s_(std::move(newest_first)), runs_(RunsByPeriod(s_)), options_(options) {
    int64_t sum = 0, allocated = 0;
    for (const RhythmEvent& event : s_) {
      sum_.push_back(sum += event.bytes.count());
      allocated_.push_back(allocated += std::max<int64_t>(0, event.bytes.count()));
    }
  }

  // 0: none.
  int64_t Period() const {
    if (const int64_t exact = Best(Exact()); exact > 0) return exact;
    return Best(Inexact());
  }

 private:
  using Candidates = std::vector<std::pair<int64_t, int64_t>>;  // period, run

  bool Holds(int64_t period, int64_t run) const { return run >= std::max(period, options_.least_repeated); }

  bool Balanced(int64_t period) const {
    return allocated_[period - 1] > 0 &&
           std::abs(sum_[period - 1]) <= options_.most_imbalance * static_cast<double>(allocated_[period - 1]);
  }

  Candidates Exact() const {
    Candidates found;
    for (int64_t period = 1; period < std::ssize(s_); ++period) {
      if (Holds(period, runs_[period]) && Balanced(period)) found.emplace_back(period, runs_[period]);
    }
    return found;
  }

  Candidates Inexact() const {
    Candidates hopeful;
    for (int64_t period = 1; period < std::ssize(s_); ++period) {
      if (runs_[period] >= 2 * kContext && Balanced(period)) hopeful.emplace_back(period, runs_[period]);
    }
    std::sort(hopeful.begin(), hopeful.end(), [](auto& a, auto& b) { return a.second > b.second; });
    if (hopeful.size() > kMostInexact) hopeful.resize(kMostInexact);
    Candidates found;
    for (const auto& [period, exact_run] : hopeful) {
      const int64_t run = NoisyRun(s_, period, options_.most_noise);
      if (Holds(period, run)) found.emplace_back(period, run);
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  // The shortest of those that explain about as many events as the one that explains most.
  static int64_t Best(const Candidates& candidates) {
    int64_t most = 0;
    for (const auto& [period, run] : candidates) most = std::max(most, period + run);
    for (const auto& [period, run] : candidates) {
      if (10 * (period + run) >= 9 * most) return period;
    }
    return 0;
  }

  const std::vector<RhythmEvent> s_;
  const std::vector<int64_t> runs_;
  const RhythmOptions options_;
  std::vector<int64_t> sum_, allocated_;  // of the newest event and those back to it
};

// The position of `period` (oldest first) at which a step best begins: an allocation, when least is alive.
size_t BeginOf(const std::vector<RhythmEvent>& period) {
  int64_t live = 0, least = 0;
  size_t begin = 0;
  bool found = false;
  for (size_t i = 0; i < period.size(); ++i) {
    if (period[i].allocates() && (!found || live < least)) {
      found = true;
      least = live;
      begin = i;
    }
    live += period[i].bytes.count();
  }
  return begin;
}

Rhythm MakeRhythm(std::vector<RhythmEvent> period, const RhythmOptions& options) {
  const size_t count = period.size();
  Rhythm rhythm;
  rhythm.seconds = (period.back().nanos - period.front().nanos) * 1e-9;
  const size_t begin = BeginOf(period);
  rhythm.next = (count - begin) % count;
  std::rotate(period.begin(), period.begin() + static_cast<int64_t>(begin), period.end());
  int32_t layer = 0, ordinal = 0;
  for (size_t i = 0; i < count; ++i) {
    // Where the rotation joined end and beginning, times are not comparable; one layer more does no harm.
    const int64_t gap = i == 0 ? 0 : period[i].nanos - period[i - 1].nanos;
    if (i > 0 && (gap < 0 || gap >= options.layer_nanos)) {
      ++layer;
      ordinal = 0;
    }
    const bool allocates = period[i].allocates();
    rhythm.beats.push_back({period[i].key, allocates, layer, allocates ? ordinal++ : -1});
    if (allocates) ++rhythm.allocations;
  }
  rhythm.layers = layer + 1;
  return rhythm;
}

}  // namespace

uint64_t RhythmKey(Bytes rounded, const void* call_site) {
  // splitmix64's finaliser (Steele et al., OOPSLA 2014).
  uint64_t x = static_cast<uint64_t>(rounded.count()) * 0x9E3779B97F4A7C15u + reinterpret_cast<uintptr_t>(call_site);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::optional<Rhythm> FindRhythm(absl::Span<const RhythmEvent> events, const RhythmOptions& options) {
  std::vector<RhythmEvent> newest_first = NewestFirst(events);
  if (std::ssize(newest_first) <= options.least_repeated) return std::nullopt;
  std::vector<RhythmEvent> copy = newest_first;
  const int64_t period = Search(std::move(copy), options).Period();
  if (period == 0) return std::nullopt;
  newest_first.resize(period);
  std::reverse(newest_first.begin(), newest_first.end());
  return MakeRhythm(std::move(newest_first), options);
}

}  // namespace thermocline::runtime

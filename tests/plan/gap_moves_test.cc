// The cheapest way through a step that GapMoves finds, against trying every way there is.
#include "src/plan/gap_moves.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "src/plan/eviction_prices.h"
#include "src/plan/granule_timeline.h"
#include "src/plan/layout.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

constexpr int32_t kLayers = 7;

struct Prices {
  std::vector<double> frame, fetch, write;
  double late_fetch, late_write;
};

Prices RandomPrices(std::mt19937& random) {
  std::uniform_real_distribution<double> price(0, 1);
  Prices prices{{}, {}, {}, 0.5 + price(random), 0.5 + price(random)};
  for (int32_t l = 0; l < kLayers; ++l) {
    prices.frame.push_back(price(random) < 0.3 ? 0 : 0.6 * price(random));
    prices.fetch.push_back(price(random));
    prices.write.push_back(price(random));
  }
  return prices;
}

size_t Layer(int32_t position) { return static_cast<size_t>((position + 3 * kLayers) % kLayers); }

// What it costs to leave as `move` says: what its transfers cost, less the frames that it frees.
double CostOf(const GapMove& move, const Prices& prices) {
  if (!move.leaves) return 0;
  double cost = move.late_fetch * prices.late_fetch + move.late_write * prices.late_write;
  if (move.fetch != GapMove::kNone) cost += prices.fetch[Layer(move.fetch)];
  if (move.write != GapMove::kNone) cost += prices.write[Layer(move.write)];
  for (int32_t p = move.free_from; p <= move.free_to; ++p) cost -= prices.frame[Layer(p)];
  return cost;
}

// Every way to leave in a gap. Where it pays for a write-back: before the gap, in it, or while the step waits.
std::vector<GapMove> WaysToLeave(const Gap& gap, bool pays) {
  std::vector<GapMove> out, ways;
  if (!pays) out.push_back({.leaves = true, .free_from = gap.begin + 1});
  if (pays) out.push_back({.leaves = true, .late_write = true, .free_from = gap.begin + 1});
  for (int32_t p = gap.WriteFrom(); pays && p < gap.end - 1; ++p) {
    out.push_back({.leaves = true, .write = p, .free_from = std::max(gap.begin, p) + 1});
  }
  for (GapMove way : out) {
    if (way.free_from >= gap.end) continue;
    way.free_to = gap.end - 1;
    way.late_fetch = gap.kind == GapKind::kLive;
    ways.push_back(way);
    way.late_fetch = false;
    for (int32_t p = way.free_from + 1; gap.kind == GapKind::kLive && p < gap.end; ++p) {
      way.fetch = p;
      way.free_to = p - 1;
      ways.push_back(way);
    }
  }
  return ways;
}

bool Written(const Gap& gap) { return gap.kind != GapKind::kDead && gap.last_write > gap.begin - kLayers; }

// The least that the gaps from the `done`th after `start` on can cost. `valid`: the layer of the write after which the
// slow copy was last made, -1 for none.
double Least(absl::Span<const Gap> gaps, size_t start, size_t done, int64_t valid, const Prices& prices) {
  if (done == gaps.size()) return 0;
  const Gap& gap = gaps[(start + done) % gaps.size()];
  const auto written = static_cast<int64_t>(Layer(gap.last_write));
  double least = Least(gaps, start, done + 1, valid, prices);
  const bool pays = Written(gap) && valid != written;
  for (const GapMove& way : WaysToLeave(gap, pays)) {
    least = std::min(least, CostOf(way, prices) + Least(gaps, start, done + 1, pays ? written : valid, prices));
  }
  return least;
}

std::vector<Gap> RandomGaps(uint64_t seed) {
  const profile::Profile net = RandomProfile(seed, kLayers, 12);
  const Layout layout = MakeLayout(net, MiB(2), 0);
  return MakeGaps(MakeTimeline(net, layout.offsets, MiB(2)));
}

TEST(GapMoves, NoOtherWayThroughTheStepIsCheaper) {
  std::mt19937 random(1);
  int granules = 0, leaving = 0, writing = 0, late = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    const std::vector<Gap> all = RandomGaps(seed);
    const std::vector<size_t> starts = GranuleStarts(all);
    const Prices prices = RandomPrices(random);
    GapMoves choice(kLayers);
    choice.SetPrices(prices.frame, prices.fetch, prices.write, prices.late_fetch, prices.late_write);
    for (size_t g = 0; g + 1 < starts.size(); ++g) {
      const auto gaps = absl::MakeConstSpan(all).subspan(starts[g], starts[g + 1] - starts[g]);
      if (gaps.size() > 4) continue;  // too many ways
      std::vector<GapMove> moves;
      const double cost = choice.Choose(gaps, &moves);
      ASSERT_EQ(moves.size(), gaps.size());
      double sum = 0;
      for (const GapMove& move : moves) sum += CostOf(move, prices);
      EXPECT_NEAR(cost, sum, 1e-9) << "not what its moves cost";
      size_t first = 0;
      while (first < gaps.size() && gaps[first].last_write < 0) ++first;
      EXPECT_NEAR(cost, Least(gaps, first % gaps.size(), 0, -1, prices), 1e-9) << "seed " << seed << ", granule " << g;
      ++granules;
      for (const GapMove& move : moves) {
        leaving += move.leaves;
        writing += move.write != GapMove::kNone;
        late += move.late_fetch || move.late_write;
      }
    }
  }
  EXPECT_GT(granules, 200);
  EXPECT_GT(leaving, 200);
  EXPECT_GT(writing, 20);
  EXPECT_GT(late, 20);
}

}  // namespace
}  // namespace thermocline::plan

#include "src/plan/eviction_prices.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "src/plan/gap_moves.h"

namespace thermocline::plan {
namespace {

constexpr double kWork = 1.5e8;  // positions looked at in all, which bounds the rounds
constexpr int kMostRounds = 300, kFewestRounds = 40;
constexpr int kPatience = 15;      // rounds without a better bound, until the steps become shorter
constexpr double kNewShare = 0.1;  // of a new choice in the mean

// Granules whose gaps are all alike: what is best for one is best for all.
struct Class {
  absl::Span<const Gap> gaps;  // of the first one
  double members = 0;
};

using Key = std::vector<std::tuple<GapKind, int32_t, int32_t, int32_t, bool>>;

std::vector<Class> Classes(const std::vector<Gap>& gaps) {
  std::map<Key, Class> classes;
  const std::vector<size_t> starts = GranuleStarts(gaps);
  for (size_t g = 0; g + 1 < starts.size(); ++g) {
    Key key;
    for (size_t i = starts[g]; i < starts[g + 1]; ++i) {
      key.emplace_back(gaps[i].kind, gaps[i].begin, gaps[i].end, gaps[i].last_write, gaps[i].late_write);
    }
    const auto own = absl::MakeConstSpan(gaps).subspan(starts[g], starts[g + 1] - starts[g]);
    ++classes.try_emplace(std::move(key), Class{own}).first->second.members;
  }
  std::vector<Class> list;
  list.reserve(classes.size());
  for (auto& [key, value] : classes) list.push_back(value);
  return list;
}

// Prices, or by how much something is over, for each layer.
struct PerLayer {
  explicit PerLayer(size_t layers) : frames(layers, 0), fetch(layers, 0), write(layers, 0) {}
  std::vector<double> frames, fetch, write;
};

class Volume {
 public:
  Volume(const std::vector<Gap>& gaps, const StepResources& step)
      : step_(step),
        layers_(step.caps.size()),
        in_seconds_(step.link.in_seconds * step.link.stretch),
        out_seconds_(step.link.out_seconds * step.link.stretch),
        transfer_seconds_(std::max(in_seconds_, out_seconds_)),
        granules_(static_cast<double>(GranuleStarts(gaps).size() - 1)),
        classes_(Classes(gaps)),
        choice_(static_cast<int32_t>(layers_)),
        excess_(layers_) {}

  EvictionPrices Run() {
    PerLayer best(layers_);
    double bound = Choose(best);
    PerLayer mean = excess_;
    double target = 0, length = 1;
    int since_better = 0;
    for (int round = 0, rounds = Rounds(); round < rounds; ++round) {
      const double square = Square(mean, best);
      if (square <= 0) break;
      if (bound >= 0.9 * target) target = 1.2 * bound + 1e-3 * transfer_seconds_;
      const PerLayer tried = Moved(best, mean, length * (target - bound) / square);
      const double tried_bound = Choose(tried);
      Mix(&mean);
      if (tried_bound > bound) {
        bound = tried_bound;
        best = tried;
        since_better = 0;
        length = std::min(2.0, length * 1.1);
      } else if (++since_better >= kPatience) {
        since_better = 0;
        length *= 0.7;
      }
    }
    return {std::move(best.frames), std::move(best.fetch), std::move(best.write), bound};
  }

 private:
  int Rounds() const {
    double size = 0;
    for (const Class& c : classes_) {
      for (const Gap& gap : c.gaps) size += 2 * (gap.end - gap.begin);
    }
    return static_cast<int>(std::clamp<double>(kWork / std::max(size, 1.0), kFewestRounds, kMostRounds));
  }

  // Link seconds are counted in transfers, so that they weigh like frames.
  double Square(const PerLayer& excess, const PerLayer& prices) const {
    double square = 0;
    const auto add = [&square](double over, double price) {
      if (over > 0 || price > 0) square += over * over;
    };
    for (size_t l = 0; l < layers_; ++l) {
      add(excess.frames[l], prices.frames[l]);
      add(excess.fetch[l] / transfer_seconds_, prices.fetch[l]);
      add(excess.write[l] / transfer_seconds_, prices.write[l]);
    }
    return square;
  }

  PerLayer Moved(const PerLayer& prices, const PerLayer& excess, double step) const {
    PerLayer moved = prices;
    const double link_step = step / (transfer_seconds_ * transfer_seconds_);
    // One frame more saves at most what leaving for one layer costs, when the step waits for both transfers.
    const double most = (1 + kTrafficPrice) * (in_seconds_ + out_seconds_);
    for (size_t l = 0; l < layers_; ++l) {
      moved.frames[l] = std::clamp(prices.frames[l] + step * excess.frames[l], 0.0, most);
      double fetch = std::max(0.0, prices.fetch[l] + link_step * excess.fetch[l]);
      double write = std::max(0.0, prices.write[l] + link_step * excess.write[l]);
      // A second of waiting costs a second: no layer's link time is worth more.
      const double over = step_.link.full_duplex ? std::max(0.0, (fetch + write - 1) / 2) : std::max(0.0, fetch - 1);
      moved.fetch[l] = std::clamp(fetch - over, 0.0, 1.0);
      moved.write[l] = std::clamp(write - over, 0.0, 1.0);
    }
    return moved;
  }

  void Mix(PerLayer* mean) const {
    const auto mix = [](const std::vector<double>& from, std::vector<double>* to) {
      for (size_t l = 0; l < to->size(); ++l) (*to)[l] += kNewShare * (from[l] - (*to)[l]);
    };
    mix(excess_.frames, &mean->frames);
    mix(excess_.fetch, &mean->fetch);
    mix(excess_.write, &mean->write);
  }

  // Makes the best choice by the prices, and counts by how much it is over. Returns the bound that it gives.
  double Choose(const PerLayer& prices) {
    std::vector<double> fetch(layers_), write(layers_);
    for (size_t l = 0; l < layers_; ++l) {
      fetch[l] = (prices.fetch[l] + kTrafficPrice) * in_seconds_;
      write[l] = (prices.write[l] + kTrafficPrice) * out_seconds_;
    }
    choice_.SetPrices(prices.frames, fetch, write, (1 + kTrafficPrice) * in_seconds_,
                      (1 + kTrafficPrice) * out_seconds_);
    excess_ = PerLayer(layers_);
    double bound = 0;
    for (const Class& c : classes_) {
      bound += c.members * choice_.Choose(c.gaps, &moves_);
      for (const GapMove& move : moves_) Count(move, c.members);
    }
    for (size_t l = 0; l < layers_; ++l) bound += AgainstLimits(prices, l);
    return bound;
  }

  void Count(const GapMove& move, double members) {
    if (!move.leaves) return;
    size_t l = Layer(move.free_from);
    for (int32_t p = move.free_from; p <= move.free_to; ++p, l = l + 1 == layers_ ? 0 : l + 1) {
      excess_.frames[l] -= members;
    }
    if (move.fetch != GapMove::kNone) excess_.fetch[Layer(move.fetch)] += members * in_seconds_;
    if (move.write != GapMove::kNone) excess_.write[Layer(move.write)] += members * out_seconds_;
  }

  // Turns what layer l uses into by how much it is over. Returns its part of the bound.
  double AgainstLimits(const PerLayer& prices, size_t l) {
    double& fetch = excess_.fetch[l];
    double& write = excess_.write[l];
    if (!step_.link.full_duplex) fetch = write = fetch + write;
    const double seconds = step_.layer_seconds[l];
    fetch -= seconds;
    write -= seconds;
    const double over = granules_ - step_.caps[l];
    excess_.frames[l] += over;
    const double link = step_.link.full_duplex ? prices.fetch[l] + prices.write[l] : prices.fetch[l];
    return prices.frames[l] * over - link * seconds;
  }

  size_t Layer(int32_t position) const {
    const auto layers = static_cast<int32_t>(layers_);
    return static_cast<size_t>(((position % layers) + layers) % layers);
  }

  const StepResources step_;
  const size_t layers_;
  const double in_seconds_, out_seconds_;
  const double transfer_seconds_;  // of the slower direction
  const double granules_;
  const std::vector<Class> classes_;
  GapMoves choice_;
  std::vector<GapMove> moves_;
  PerLayer excess_;  // of the last choice
};

}  // namespace

std::vector<size_t> GranuleStarts(const std::vector<Gap>& gaps) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < gaps.size(); ++i) {
    if (i == 0 || gaps[i].granule != gaps[i - 1].granule) starts.push_back(i);
  }
  starts.push_back(gaps.size());
  return starts;
}

EvictionPrices PriceEvictions(const std::vector<Gap>& gaps, const StepResources& step) {
  return Volume(gaps, step).Run();
}

}  // namespace thermocline::plan

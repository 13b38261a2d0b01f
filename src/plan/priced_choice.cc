#include "src/plan/priced_choice.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "src/plan/gap_moves.h"

namespace thermocline::plan {
namespace {

constexpr double kWork = 2e8;  // slots looked at in all, which bounds the passes
constexpr int kMostPasses = 40, kFewestPasses = 4;
// The fine for a frame over a layer's cap: of the mean price of a frame at first, times this from pass to pass, and for
// no more frames than these, or all granules would flee a layer at once.
constexpr double kFirstFine = 0.05, kFineGrowth = 1.2;
constexpr int64_t kMostFined = 2;

double MeanOfPositive(const std::vector<double>& prices) {
  double sum = 0;
  int64_t count = 0;
  for (const double price : prices) {
    sum += price;
    count += price > 0;
  }
  return count == 0 ? 1e-9 : sum / static_cast<double>(count);
}

class Negotiation {
 public:
  Negotiation(const EvictionPrices& prices, const StepResources& step, const std::vector<Gap>& gaps)
      : prices_(prices),
        step_(step),
        gaps_(gaps),
        starts_(GranuleStarts(gaps)),
        layers_(step.caps.size()),
        in_seconds_(step.link.in_seconds * step.link.stretch),
        out_seconds_(step.link.out_seconds * step.link.stretch),
        choice_(static_cast<int32_t>(layers_)),
        moves_(starts_.size() - 1),
        held_(layers_, static_cast<int64_t>(starts_.size()) - 1),
        in_(layers_, 0),
        out_(layers_, 0),
        frame_(layers_),
        fetch_(layers_),
        write_(layers_) {}

  // The best of all passes.
  std::vector<std::vector<GapMove>> Run() {
    fine_ = kFirstFine * MeanOfPositive(prices_.frames);
    std::vector<std::vector<GapMove>> best;
    std::pair<int64_t, double> best_cost;
    for (int pass = 0, passes = Passes(); pass < passes; ++pass) {
      for (size_t l = 0; l < layers_; ++l) Price(l);
      for (size_t g = 0; g < moves_.size(); ++g) ChooseAnew(pass % 2 == 0 ? g : moves_.size() - 1 - g);
      fine_ *= kFineGrowth;
      const std::pair<int64_t, double> cost = Cost();
      if (!best.empty() && cost >= best_cost) continue;
      best = moves_;
      best_cost = cost;
    }
    return best;
  }

 private:
  int Passes() const {
    double size = static_cast<double>(moves_.size() * layers_) * 8;
    return static_cast<int>(std::clamp<double>(kWork / std::max(size, 1.0), kFewestPasses, kMostPasses));
  }

  // Frames over the caps, and the seconds of waits and traffic.
  std::pair<int64_t, double> Cost() const {
    int64_t over = 0;
    double seconds = late_ * (1 + kTrafficPrice);
    for (size_t l = 0; l < layers_; ++l) {
      over += std::max<int64_t>(held_[l] - step_.caps[l], 0);
      seconds += Wait(l, 0, 0) + kTrafficPrice * (in_[l] + out_[l]);
    }
    return {over, seconds};
  }

  // What the step waits in layer l with so much more on the link.
  double Wait(size_t l, double more_in, double more_out) const {
    const double in = in_[l] + more_in, out = out_[l] + more_out;
    return std::max(0.0, (step_.link.full_duplex ? std::max(in, out) : in + out) - step_.layer_seconds[l]);
  }

  void ChooseAnew(size_t g) {
    // Without its moves it counts as staying all along.
    for (const GapMove& move : moves_[g]) Count(move, -1);
    choice_.SetPrices(frame_, fetch_, write_, (1 + kTrafficPrice) * in_seconds_, (1 + kTrafficPrice) * out_seconds_);
    choice_.Choose(absl::MakeConstSpan(gaps_).subspan(starts_[g], starts_[g + 1] - starts_[g]), &moves_[g]);
    for (const GapMove& move : moves_[g]) Count(move, +1);
  }

  void Price(size_t l) {
    PriceFrames(l);
    PriceLink(l);
  }
  void PriceFrames(size_t l) {
    const int64_t fined = std::clamp<int64_t>(held_[l] - step_.caps[l], 0, kMostFined);
    frame_[l] = prices_.frames[l] + fine_ * static_cast<double>(fined);
  }
  void PriceLink(size_t l) {
    const double wait = Wait(l, 0, 0);
    fetch_[l] = kTrafficPrice * in_seconds_ + std::max(prices_.fetch[l] * in_seconds_, Wait(l, in_seconds_, 0) - wait);
    write_[l] =
        kTrafficPrice * out_seconds_ + std::max(prices_.write[l] * out_seconds_, Wait(l, 0, out_seconds_) - wait);
  }

  void Count(const GapMove& move, int sign) {
    if (!move.leaves) return;
    size_t l = Layer(move.free_from);
    for (int32_t p = move.free_from; p <= move.free_to; ++p, l = l + 1 == layers_ ? 0 : l + 1) {
      held_[l] -= sign;
      PriceFrames(l);
    }
    if (move.fetch != GapMove::kNone) Load(move.fetch, sign * in_seconds_, &in_);
    if (move.write != GapMove::kNone) Load(move.write, sign * out_seconds_, &out_);
    late_ += sign * (move.late_fetch * in_seconds_ + move.late_write * out_seconds_);
  }

  void Load(int32_t position, double seconds, std::vector<double>* link) {
    const size_t l = Layer(position);
    (*link)[l] += seconds;
    PriceLink(l);
  }

  size_t Layer(int32_t position) const {
    const auto layers = static_cast<int32_t>(layers_);
    return static_cast<size_t>(((position % layers) + layers) % layers);
  }

  const EvictionPrices& prices_;
  const StepResources& step_;
  const std::vector<Gap>& gaps_;
  const std::vector<size_t> starts_;
  const size_t layers_;
  const double in_seconds_, out_seconds_;
  GapMoves choice_;
  std::vector<std::vector<GapMove>> moves_;    // by granule
  std::vector<int64_t> held_;                  // by layer
  std::vector<double> in_, out_;               // seconds on the link, by layer
  std::vector<double> frame_, fetch_, write_;  // prices as they stand, by layer
  double fine_ = 0;
  double late_ = 0;  // seconds of transfers between layers
};

}  // namespace

void ChooseByPrices(const EvictionPrices& prices, const StepResources& step, std::vector<Gap>* gaps) {
  size_t i = 0;
  for (const std::vector<GapMove>& moves : Negotiation(prices, step, *gaps).Run()) {
    for (const GapMove& move : moves) {
      Gap& gap = (*gaps)[i];
      gap.evicted = move.leaves;
      gap.free_from = move.leaves ? move.free_from : gap.begin + 1;
      gap.free_to = move.leaves ? move.free_to : gap.begin;
      gap.write_at = move.write == GapMove::kNone ? Gap::kAtOnce : move.write;
      // What leaves before it dies is away while it is dead, however short that is.
      const Gap* const before = i > 0 ? &(*gaps)[i - 1] : nullptr;
      gap.evicted |= gap.kind == GapKind::kDead && before != nullptr && before->kind == GapKind::kLiveToDeath &&
                     before->granule == gap.granule && before->use == gap.use && before->evicted;
      ++i;
    }
  }
}

}  // namespace thermocline::plan

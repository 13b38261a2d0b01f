// Prices, the choice of gaps that is rounded from them, and the slots that both count in.
#include "src/plan/priced_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "src/plan/eviction_prices.h"
#include "src/plan/gaps.h"
#include "src/plan/granule_timeline.h"
#include "src/plan/layout.h"
#include "src/plan/slots.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

using ::testing::ElementsAre;

std::vector<Gap> GapsOf(const profile::Profile& net) {
  const Layout layout = MakeLayout(net, MiB(2), 0);
  return MakeGaps(MakeTimeline(net, layout.offsets, MiB(2)));
}

std::vector<double> SecondsOf(const profile::Profile& net) {
  std::vector<double> seconds;
  for (const profile::Layer& layer : net.layers) seconds.push_back(layer.seconds);
  return seconds;
}

LinkModel Link(double transfer) {
  LinkModel link;
  link.in_seconds = link.out_seconds = transfer;
  return link;
}

// Frames held in each layer when what is evicted is away.
std::vector<int32_t> Held(const std::vector<Gap>& gaps, size_t layers) {
  std::vector<int32_t> held(layers, static_cast<int32_t>(GranuleStarts(gaps).size()) - 1);
  for (const Gap& gap : gaps) {
    for (int32_t p = gap.free_from; gap.evicted && p <= gap.free_to; ++p) {
      --held[(static_cast<size_t>(p) + layers) % layers];
    }
  }
  return held;
}

// Seconds of link time, and waits at least, that evicting as the gaps say costs.
double Traffic(const std::vector<Gap>& gaps, size_t layers, const LinkModel& link) {
  double seconds = 0;
  for (const Transfers& t : CollectTransfers(gaps, static_cast<int32_t>(layers))) {
    seconds += t.writes * link.out_seconds + t.fetches * link.in_seconds;
  }
  return seconds;
}

TEST(PricedChoice, FitsTheFramesWhereverALayerDoes) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const profile::Profile net = RandomProfile(seed, 12, 40);
    std::vector<Gap> gaps = GapsOf(net);
    const Layout layout = MakeLayout(net, MiB(2), 0);
    std::vector<int32_t> caps = NeededFrames(MakeTimeline(net, layout.offsets, MiB(2)));
    const int32_t widest = *std::max_element(caps.begin(), caps.end());
    for (int32_t& cap : caps) cap = widest + 1;
    const std::vector<double> seconds = SecondsOf(net);
    const StepResources step{caps, seconds, Link(0.002)};
    ChooseByPrices(PriceEvictions(gaps, step), step, &gaps);
    const std::vector<int32_t> held = Held(gaps, caps.size());
    for (size_t l = 0; l < caps.size(); ++l) EXPECT_LE(held[l], caps[l]) << "seed " << seed << ", layer " << l;
    for (const Gap& gap : gaps) {
      if (!gap.evicted) continue;
      EXPECT_GT(gap.free_from, gap.begin);
      EXPECT_LT(gap.free_to, gap.end);
      // A dead gap may be empty, where what it follows left before it died.
      EXPECT_LE(gap.free_from, gap.free_to + (gap.kind == GapKind::kDead));
      if (gap.write_at != Gap::kAtOnce) {
        EXPECT_GE(gap.write_at, gap.WriteFrom());
        EXPECT_LT(gap.write_at, std::max(gap.free_from, gap.begin + 1));
      }
    }
  }
}

TEST(PricedChoice, LeavesLittleOverTheCapsOfANetworkWhoseLinkIsNearlyFull) {
  const profile::Profile net = ConvNet();
  const LinkModel link = Link(2.0 * (1 << 20) / 0.8e9);
  const std::vector<double> layer_seconds = SecondsOf(net);
  const Slots slots(layer_seconds, 6 * link.in_seconds);
  std::vector<Gap> gaps = slots.InSlots(GapsOf(net));
  const std::vector<int32_t> caps = slots.PerSlot(std::vector<int32_t>(layer_seconds.size(), 97));
  const StepResources step{caps, slots.seconds(), link};
  ChooseByPrices(PriceEvictions(gaps, step), step, &gaps);
  EXPECT_LE(Traffic(gaps, caps.size(), link), 2.4) << "seconds on the link, of a step's";
  const std::vector<int32_t> held = Held(gaps, caps.size());
  int64_t over = 0;
  for (size_t l = 0; l < caps.size(); ++l) over += std::max(held[l] - caps[l], 0);
  EXPECT_LE(over, static_cast<int64_t>(caps.size()) / 10) << "frames, summed up over the slots";
}

// Two granules that are read in turn and never written, and one frame for both: each is fetched once a step.
struct TwoInTurn {
  explicit TwoInTurn(double layer_seconds) : seconds(6, layer_seconds) {
    profile::Profile net = RandomProfile(1, 6, 0);
    for (int64_t i = 0; i < 2; ++i) {
      profile::Tensor tensor;
      tensor.id = TensorId(i);
      tensor.bytes = MiB(2);
      tensor.accesses = {{.layer = LayerId(static_cast<int32_t>(3 * i)), .read = true}};
      net.tensors.push_back(tensor);
    }
    gaps = GapsOf(net);
  }
  std::vector<Gap> gaps;
  const std::vector<int32_t> caps = std::vector<int32_t>(6, 1);
  std::vector<double> seconds;
};

TEST(EvictionPrices, BoundWhatTrafficCostsWhereNothingWaits) {
  TwoInTurn two(1);
  const StepResources step{two.caps, two.seconds, Link(0.25)};
  const EvictionPrices prices = PriceEvictions(two.gaps, step);
  constexpr double kLeast = 2 * 0.25 * kTrafficPrice;
  EXPECT_LE(prices.bound_seconds, kLeast * 1.000001);
  EXPECT_GT(prices.bound_seconds, kLeast * 0.95);
  ChooseByPrices(prices, step, &two.gaps);
  EXPECT_THAT(Held(two.gaps, 6), ::testing::Each(::testing::Le(1)));
  EXPECT_DOUBLE_EQ(Traffic(two.gaps, 6, step.link), 2 * 0.25);
}

TEST(EvictionPrices, BoundTheWaitWhereTheLinkIsTooSlow) {
  TwoInTurn two(0.1);
  const StepResources step{two.caps, two.seconds, Link(1)};
  const EvictionPrices prices = PriceEvictions(two.gaps, step);
  // Two seconds on the link, four tenths of which hide behind the two layers before each use that its frame is there
  // in.
  constexpr double kTraffic = 2 * kTrafficPrice;
  EXPECT_LE(prices.bound_seconds, 2 - 0.4 + kTraffic + 1e-6);
  EXPECT_GE(prices.bound_seconds, 2 - 0.6 + kTraffic - 0.1) << "the whole step on the link, and what it waits";
}

TEST(EvictionPrices, AskForNothingWhereEverythingFits) {
  std::vector<Gap> gaps = GapsOf(ConvNet());
  const std::vector<double> seconds = SecondsOf(ConvNet());
  const std::vector<int32_t> caps(seconds.size(), 1 << 20);
  const StepResources step{caps, seconds, Link(0.001)};
  const EvictionPrices prices = PriceEvictions(gaps, step);
  EXPECT_EQ(prices.bound_seconds, 0);
  ChooseByPrices(prices, step, &gaps);
  EXPECT_EQ(Traffic(gaps, seconds.size(), step.link), 0);
}

TEST(Slots, CutLongLayersAndBringDecisionsBackWhole) {
  const std::vector<double> seconds = {1, 3.5, 0.1};
  const Slots slots(seconds, 1);
  EXPECT_EQ(slots.count(), 5);
  const std::vector<int32_t> caps = {7, 8, 9};
  EXPECT_THAT(slots.PerSlot(caps), ElementsAre(7, 8, 8, 8, 9));
  // Used in layer 0, written a step ago in layer 2, used again in layer 0 of the next step.
  std::vector<Gap> gaps(1);
  gaps[0].begin = 0;
  gaps[0].end = 3;
  gaps[0].last_write = -1;
  std::vector<Gap> in_slots = slots.InSlots(gaps);
  EXPECT_EQ(in_slots[0].begin, 0);
  EXPECT_EQ(in_slots[0].end, 5);
  EXPECT_EQ(in_slots[0].last_write, -1);
  // Away in all of layer 1 but its first part, and fetched in layer 2.
  in_slots[0].evicted = true;
  in_slots[0].write_at = 1;
  in_slots[0].free_from = 2;
  in_slots[0].free_to = 3;
  slots.Decide(in_slots, &gaps);
  EXPECT_TRUE(gaps[0].evicted);
  EXPECT_EQ(gaps[0].write_at, 1);
  EXPECT_EQ(gaps[0].free_from, 2);
  EXPECT_EQ(gaps[0].free_to, 1) << "no whole layer is free";
  in_slots[0].free_from = 1;
  slots.Decide(in_slots, &gaps);
  EXPECT_EQ(gaps[0].free_from, 1);
  EXPECT_EQ(gaps[0].free_to, 1);
}

}  // namespace
}  // namespace thermocline::plan

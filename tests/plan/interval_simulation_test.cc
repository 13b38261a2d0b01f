// The paper's intervals, by hand: what is fetched first, when what the next interval doesn't need leaves, and what
// becomes of that which found no room (case 2).
#include "src/plan/interval_simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace thermocline::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Three intervals of four layers and two frames. Granule 2 is read all through the first, 0 once and 1 three times in
// the second, 3 and 4 all through the third.
constexpr int kLayers = 12, kInterval = 4, kFrames = 2;
constexpr GranuleId kOnce{0}, kOften{1}, kFirst{2}, kThird{3}, kThirdToo{4};

GranuleTimeline Timeline() {
  GranuleTimeline timeline;
  timeline.layers = kLayers;
  const std::vector<std::vector<int>> used_in = {{4}, {4, 5, 6}, {0, 1, 2, 3}, {8, 9, 10, 11}, {8, 9, 10, 11}};
  for (const std::vector<int>& layers : used_in) {
    GranuleLife life;
    life.granule = GranuleId(static_cast<uint32_t>(timeline.granules.size()));
    life.always_live = true;
    for (size_t i = 0; i < layers.size(); ++i) {
      const int next = i + 1 < layers.size() ? layers[i + 1] : layers.front() + kLayers;
      life.uses.push_back({.layer = layers[i],
                           .read = true,
                           .live_before = true,
                           .needs_content = true,
                           .next = next - layers[i],
                           .live_for = next - layers[i]});
    }
    timeline.granules.push_back(life);
  }
  return timeline;
}

MigrationPlan Simulated(bool use_in_place) {
  MigrationPlan plan;
  SimulateIntervals(Timeline(), {.interval_layers = kInterval, .frames = kFrames, .use_in_place = use_in_place}, &plan);
  return plan;
}

std::vector<GranuleId> FetchedIn(const MigrationPlan& plan, int layer) {
  std::vector<GranuleId> granules;
  for (const Fetch& fetch : plan.layers[layer].fetch) granules.push_back(fetch.granule);
  return granules;
}

TEST(SimulatedIntervals, EvictInTheMiddleAndFetchWhatIsAccessedMostFirst) {
  const MigrationPlan plan = Simulated(/*use_in_place=*/false);
  // The first interval: its own granule and one of the third fill both frames until the middle.
  EXPECT_THAT(plan.layers[1].release, IsEmpty());
  EXPECT_THAT(FetchedIn(plan, 1), IsEmpty());
  EXPECT_THAT(plan.layers[2].release, ElementsAre(kThirdToo));
  ASSERT_THAT(FetchedIn(plan, 2), ElementsAre(kOften));
  EXPECT_EQ(plan.layers[2].fetch[0].deadline, LayerId(4));
  // Case 2, waiting: no room was left for the other one, so its layer fetches it.
  ASSERT_THAT(FetchedIn(plan, 4), ElementsAre(kOnce));
  EXPECT_EQ(plan.layers[4].fetch[0].deadline, LayerId(4));
  EXPECT_THAT(plan.layers[4].need, ElementsAre(kOnce, kOften));
  // The second interval: what is used on stays.
  EXPECT_THAT(plan.layers[6].release, ElementsAre(kOnce));
  EXPECT_THAT(FetchedIn(plan, 6), ElementsAre(kThird));
}

TEST(SimulatedIntervals, WhatFoundNoRoomIsUsedWhereItIs) {
  const MigrationPlan plan = Simulated(/*use_in_place=*/true);
  EXPECT_THAT(FetchedIn(plan, 2), ElementsAre(kOften));
  EXPECT_THAT(plan.layers[4].need, ElementsAre(kOften));
  EXPECT_THAT(plan.layers[8].need, ElementsAre(kThird));
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const GranuleId granule : FetchedIn(plan, layer)) {
      EXPECT_TRUE(granule == kOften || granule == kFirst || granule == kThird) << granule.value() << " in " << layer;
    }
  }
}

}  // namespace
}  // namespace thermocline::plan

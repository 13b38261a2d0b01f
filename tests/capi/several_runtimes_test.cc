// Two runtimes in one process: each with a budget, steps and a slow tier of its own, and neither disturbs the other.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/capi/network_on_capi.h"

namespace thermocline {
namespace {

constexpr int kSteps = 8;

void ExpectPlacedWithin(const Runtime& runtime) {
  const tc_stats stats = runtime.Stats();
  EXPECT_LE(stats.peak_fast_bytes, stats.fast_budget_bytes);
  EXPECT_GT(stats.matched_allocations, 100u) << "its plan was never used";
  EXPECT_EQ(stats.mismatched_allocations, 0u);
  EXPECT_EQ(stats.live_bytes, 0u);
}

TEST(SeveralRuntimes, TrainAtTheSameTimeOnThreadsOfTheirOwn) {
  const auto first = SmallRuntime("3MiB"), second = SmallRuntime("4MiB", "file:/var/tmp");
  std::vector<double> first_losses, second_losses;
  std::thread one([&] { first_losses = Losses(On(*first), kSteps); });
  std::thread two([&] { second_losses = Losses(On(*second), kSteps, 5); });
  one.join();
  two.join();
  EXPECT_EQ(first_losses, Losses(OnMalloc(), kSteps));
  EXPECT_EQ(second_losses, Losses(OnMalloc(), kSteps, 5));
  ExpectPlacedWithin(*first);
  ExpectPlacedWithin(*second);
}

TEST(SeveralRuntimes, TakeTurnsStepByStepOnOneThread) {
  const auto first = SmallRuntime("3MiB"), second = SmallRuntime("4MiB");
  std::vector<double> first_losses, second_losses;
  {
    SmallNetwork one(On(*first), kNetworkLayers, kNetworkWidth), two(On(*second), kNetworkLayers, kNetworkWidth);
    for (int step = 0; step < kSteps; ++step) {
      first_losses.push_back(one.Step(step));
      second_losses.push_back(two.Step(step));
    }
  }
  EXPECT_EQ(first_losses, Losses(OnMalloc(), kSteps));
  EXPECT_EQ(second_losses, first_losses);
  ExpectPlacedWithin(*first);
  ExpectPlacedWithin(*second);
}

TEST(SeveralRuntimes, TheEndOfOneIsNothingToTheOther) {
  const auto stays = SmallRuntime("3MiB");
  std::vector<double> losses;
  std::thread trains([&] { losses = Losses(On(*stays), kSteps); });
  for (int i = 0; i < 10; ++i) {
    const auto goes = SmallRuntime("2MiB");
    auto* const tensor = static_cast<char*>(goes->Allocate(6 << 20));
    ASSERT_NE(tensor, nullptr);
    std::memset(tensor, i, 6 << 20);
    EXPECT_EQ(tc_free(stays->handle(), tensor), TC_INVALID_ARGUMENT) << "it is the other one's";
    EXPECT_EQ(tensor[0], i);
  }
  trains.join();
  EXPECT_EQ(losses, Losses(OnMalloc(), kSteps));
}

}  // namespace
}  // namespace thermocline

// A budget that is changed while running: what it makes possible, and what it may not be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <iterator>
#include <memory>
#include <thread>
#include <vector>

#include "src/os/memory.h"
#include "src/runtime/runtime.h"
#include "tests/runtime/network_on_runtime.h"

namespace thermocline::runtime {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Runtime> Make(Bytes fast) {
  auto runtime = Runtime::Create(SmallSettings("emulated:in=2GB/s,out=2GB/s", fast, "lookahead"));
  EXPECT_TRUE(runtime.ok()) << runtime.status();
  return runtime.ok() ? *std::move(runtime) : nullptr;
}

// Seven granules are too few to plan with, and what begins so need not stay so.
TEST(Budget, ThatIsRaisedFromTooLittleToPlanWithIsPlannedFromThen) {
  std::vector<int> scales(8, 1);
  const std::vector<double> expected = Losses(OnMalloc(), scales);
  const auto runtime = Make(kNetworkGranule * 7);
  ASSERT_NE(runtime, nullptr);
  SmallNetwork network(On(*runtime), kNetworkLayers, kNetworkWidth);
  int step = 0;
  for (; step < 4; ++step) EXPECT_EQ(network.Step(step), expected[step]);
  EXPECT_EQ(runtime->Stats().profiles, 0);
  ASSERT_TRUE(runtime->SetBudget(MiB(4)).ok());
  for (; step < 8; ++step) EXPECT_EQ(network.Step(step), expected[step]);
  const RuntimeStats stats = runtime->Stats();
  EXPECT_EQ(stats.profiles, 1);
  EXPECT_GT(stats.matched, 0);
  EXPECT_EQ(stats.mismatched, 0);
  EXPECT_LE(stats.peak_fast, MiB(4));
}

TEST(Budget, ThatIsLoweredBelowThatStillTrainsTheSame) {
  std::vector<int> scales(8, 1);
  const std::vector<double> expected = Losses(OnMalloc(), scales);
  const auto runtime = Make(MiB(4));
  ASSERT_NE(runtime, nullptr);
  SmallNetwork network(On(*runtime), kNetworkLayers, kNetworkWidth);
  int step = 0;
  for (; step < 4; ++step) EXPECT_EQ(network.Step(step), expected[step]);
  ASSERT_TRUE(runtime->SetBudget(kNetworkGranule * 7).ok());
  EXPECT_LE(runtime->Stats().fast, kNetworkGranule * 7);
  for (; step < 8; ++step) EXPECT_EQ(network.Step(step), expected[step]);
}

// By another thread, around the size from which on it is planned, while steps run.
TEST(Budget, ThatChangesAllTheTimeTrainsTheSame) {
  constexpr int kSteps = 24;
  const std::vector<double> expected = Losses(OnMalloc(), std::vector<int>(kSteps, 1));
  const auto runtime = Make(kNetworkGranule * 6);
  ASSERT_NE(runtime, nullptr);
  std::atomic<bool> over{false};
  std::thread changes([&] {
    for (int i = 0; !over; ++i) {
      constexpr int64_t kGranules[] = {48, 7, 96, 8, 6, 64};
      EXPECT_TRUE(runtime->SetBudget(kNetworkGranule * kGranules[i % std::ssize(kGranules)]).ok());
      std::this_thread::sleep_for(std::chrono::milliseconds(i % 7));
    }
  });
  SmallNetwork network(On(*runtime), kNetworkLayers, kNetworkWidth);
  for (int step = 0; step < kSteps; ++step) EXPECT_EQ(network.Step(step), expected[step]) << step;
  over = true;
  changes.join();
  EXPECT_GT(runtime->Stats().profiles, 0);
  EXPECT_LE(runtime->Stats().peak_fast, kNetworkGranule * 96);
}

// Each frame may be a mapping of its own. What would need more than the system allows is refused, and nothing changes.
TEST(Budget, IsNotRaisedToMoreFramesThanCanBeMapped) {
  const auto runtime = Make(MiB(4));
  ASSERT_NE(runtime, nullptr);
  const Bytes most = kNetworkGranule * os::MostMappedFrames();
  if (os::PhysicalMemory() <= most) GTEST_SKIP() << "needs more memory than " << most.count() << " bytes";
  const absl::Status status = runtime->SetBudget(most + kNetworkGranule);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("with granules of 64.0 KiB, which THERMOCLINE_GRANULE chooses at start"));
  EXPECT_EQ(runtime->Stats().budget, MiB(4));
  EXPECT_TRUE(runtime->SetBudget(MiB(64)).ok());
}

}  // namespace
}  // namespace thermocline::runtime

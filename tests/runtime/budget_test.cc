// A budget that is changed while running: what it makes possible, and what it may not be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
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

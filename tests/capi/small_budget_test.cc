// A fast budget below what one layer touches at once: said once, with the floor, and the run goes on by demand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/capi/network_on_capi.h"

namespace thermocline {
namespace {

using ::testing::HasSubstr;

int Occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(SmallBudget, BelowTheFloorIsSaidOnceWithTheFloorAndTheLossesAreTheSame) {
  const auto runtime = SmallRuntime("1MiB");
  // Batches of two sizes, each profiled and planned by itself: it is said of the first alone.
  const auto losses_of = [](NetworkHooks hooks) {
    SmallNetwork network(std::move(hooks), kNetworkLayers, kNetworkWidth);
    std::vector<double> losses;
    for (const int scale : {1, 1, 1, 1, 2, 2, 2, 2, 1, 2}) {
      losses.push_back(network.Step(static_cast<int>(losses.size()), scale));
    }
    return losses;
  };
  ::testing::internal::CaptureStderr();
  const std::vector<double> losses = losses_of(On(*runtime));
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(Occurrences(said, "below the floor"), 1) << said;
  EXPECT_THAT(said, HasSubstr("the fast budget of 1.00 MiB is below the floor of this step, "));
  EXPECT_EQ(losses, losses_of(OnMalloc()));
  EXPECT_LE(runtime->Stats().peak_fast_bytes, runtime->Stats().fast_budget_bytes);
}

TEST(SmallBudget, AboveTheFloorNothingIsSaid) {
  const auto runtime = SmallRuntime("4MiB");
  ::testing::internal::CaptureStderr();
  Losses(On(*runtime), 10);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace thermocline

// A fast budget below what one layer touches at once: said once, with the floor, and the run goes on by demand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

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
  ::testing::internal::CaptureStderr();
  const std::vector<double> losses = Losses(On(*runtime), 10);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(Occurrences(said, "below the floor"), 1) << said;
  EXPECT_THAT(said, HasSubstr("the fast budget of 1.00 MiB is below the floor of this step, "));
  EXPECT_EQ(losses, Losses(OnMalloc(), 10));
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

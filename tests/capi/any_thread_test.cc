// thermocline.h says of every function that any thread may call it: while one trains, another asks for statistics,
// saves what there is, and changes the budget. The thread sanitizer sees what the assertions can't.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/capi/network_on_capi.h"

namespace thermocline {
namespace {

using ::testing::HasSubstr;

constexpr int kSteps = 12;

TEST(AnyThread, MaySaveAskAndChangeTheBudgetWhileAnotherTrains) {
  const std::string folder = ::testing::TempDir() + "any_thread_" + std::to_string(getpid());
  std::filesystem::create_directory(folder);
  const auto runtime = SmallRuntime("3MiB");
  std::atomic<bool> done{false};
  std::vector<double> losses;
  std::thread trains([&] {
    losses = Losses(On(*runtime), kSteps);
    done = true;
  });
  int saved = 0;
  for (int round = 0; !done; ++round) {
    const tc_stats stats = runtime->Stats();
    EXPECT_LE(stats.fast_bytes, uint64_t{3} << 20);
    EXPECT_LE(stats.matched_allocations, uint64_t{kSteps} * 100);
    saved += runtime->SaveProfile(folder + "/profile.json").ok() && runtime->SavePlan(folder + "/plan.json").ok();
    EXPECT_TRUE(runtime->SaveRunLog(folder + "/run.json").ok());
    const Status changed = runtime->SetFastBudget(round % 2 == 0 ? "2MiB" : "3MiB");
    EXPECT_TRUE(changed.ok()) << changed.message();
    usleep(2000);
  }
  trains.join();
  EXPECT_EQ(losses, Losses(OnMalloc(), kSteps));
  EXPECT_GT(saved, 0);
  std::filesystem::remove_all(folder);
}

TEST(AnyThread, HasAMessageOfItsOwn) {
  const auto runtime = SmallRuntime("3MiB");
  EXPECT_EQ(tc_end_profile(runtime->handle()), TC_FAILED_PRECONDITION);
  const std::string here = tc_last_error();
  std::string before, there;
  std::thread([&] {
    before = tc_last_error();
    EXPECT_EQ(tc_set_fast_budget(runtime->handle(), "3 MB of it"), TC_INVALID_ARGUMENT);
    there = tc_last_error();
  }).join();
  EXPECT_THAT(here, HasSubstr("start_profile"));
  EXPECT_EQ(before, "") << "nothing has failed on that thread";
  EXPECT_THAT(there, HasSubstr("3 MB of it"));
  EXPECT_EQ(tc_last_error(), here) << "another thread's failure is not this one's";
}

}  // namespace
}  // namespace thermocline

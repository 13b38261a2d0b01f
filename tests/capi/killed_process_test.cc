// A process that trains and saves is ended by a signal at any moment: no file is left that it did not finish.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/capi/network_on_capi.h"

namespace thermocline {
namespace {

namespace fs = std::filesystem;

class KilledProcess : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { fs::remove_all(folder_); }

  // Trains on a slow tier in the folder and saves its profile there after each step, for ever.
  [[noreturn]] void Train(int ready) const {
    const auto runtime = SmallRuntime("3MiB", "file:" + folder_);
    if (runtime == nullptr) _exit(1);
    SmallNetwork network(On(*runtime), kNetworkLayers, kNetworkWidth);
    for (int step = 0;; ++step) {
      network.Step(step);
      if (step < 4) continue;
      if (!runtime->SaveProfile(folder_ + "/profile" + std::to_string(step)).ok()) _exit(2);
      if (step == 4 && write(ready, "x", 1) != 1) _exit(3);
    }
  }

  std::string folder_ = "/var/tmp/thermocline-killed-XXXXXX";
};

TEST_P(KilledProcess, LeavesOnlyWhatItHadFinished) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  for (int round = 0; round < 3; ++round) {
    const pid_t child = fork();
    if (child == 0) Train(ready[1]);
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    usleep(7'000 * (round + 1));
    kill(child, GetParam());
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself, with " << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), GetParam());
    int saved = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      EXPECT_TRUE(entry.path().filename().string().starts_with("profile")) << entry.path();
      EXPECT_EQ(entry.path().extension(), "") << entry.path();
      EXPECT_GT(fs::file_size(entry.path()), 1000u) << entry.path();
      ++saved;
    }
    EXPECT_GE(saved, 1);
    fs::remove_all(folder_);
    fs::create_directory(folder_);
  }
  close(ready[0]);
  close(ready[1]);
}

INSTANTIATE_TEST_SUITE_P(By, KilledProcess, ::testing::Values(SIGTERM, SIGINT, SIGKILL, SIGSEGV),
                         [](const auto& test) { return std::string("SIG") + sigabbrev_np(test.param); });

}  // namespace
}  // namespace thermocline

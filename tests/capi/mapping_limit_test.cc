// The kernel's limit on the mappings of a process (vm.max_map_count, 65530 by default) is reached, by the program
// itself or by what the library maps: nothing is lost, nothing hangs, and what was refused goes on once there is
// room again.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

#include "tests/capi/network_on_capi.h"

namespace thermocline {
namespace {

constexpr size_t kPage = 4096;

// Takes every mapping that the process may have, and gives some back.
class Ballast {
 public:
  Ballast() {
    int64_t limit = 65530;
    std::ifstream("/proc/sys/vm/max_map_count") >> limit;
    bytes_ = static_cast<size_t>(limit + 1000) * kPage;
    base_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (base_ == MAP_FAILED) return;
    // Every second page: two mappings more each time.
    while (end_ + 2 * kPage < bytes_ && mprotect(base_ + end_, kPage, PROT_READ) == 0) end_ += 2 * kPage;
  }
  ~Ballast() { munmap(base_, bytes_); }
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;

  bool reached() const { return base_ != MAP_FAILED && end_ > 0 && end_ + 2 * kPage < bytes_; }
  void LeaveFree(int mappings) {
    for (; mappings > 0 && end_ > 0; mappings -= 2) {
      end_ -= 2 * kPage;
      mprotect(base_ + end_, kPage, PROT_NONE);
    }
  }

 private:
  char* base_ = nullptr;
  size_t bytes_ = 0;
  size_t end_ = 0;
};

// The losses of a network that trains while so many mappings are free.
class MappingLimit : public ::testing::TestWithParam<int> {};

TEST_P(MappingLimit, TrainingGoesOnWithTheSameLosses) {
  const auto runtime = SmallRuntime("3MiB");
  std::vector<double> losses;
  {
    Ballast ballast;
    ASSERT_TRUE(ballast.reached());
    ballast.LeaveFree(GetParam());
    losses = Losses(On(*runtime), 8);
  }
  EXPECT_EQ(losses, Losses(OnMalloc(), 8));
  const tc_stats stats = runtime->Stats();
  EXPECT_GT(stats.bytes_in, 0u);
  EXPECT_LE(stats.peak_fast_bytes, stats.fast_budget_bytes);
}

// What a network needs that is placed: each of its 48 frames is a mapping, and so is what lies between them. The
// profiled step opens pages one by one, each a mapping of its own, and takes what there is.
INSTANTIATE_TEST_SUITE_P(Free, MappingLimit, ::testing::Values(4000, 1000, 300),
                         [](const auto& test) { return std::to_string(test.param); });

// With none left at all: an allocation may be refused, with a message; what is there can still be read or the thread
// that can't be served gets SIGBUS. In a child, since of those two either is right.
TEST(NoMappingLeft, NeverGivesOtherBytesAndGoesOnAfterwards) {
  const pid_t child = fork();
  if (child == 0) {
    const auto runtime = SmallRuntime("2MiB");
    constexpr size_t kTensor = 128 << 10;
    std::vector<char*> tensors;
    for (int i = 0; i < 64; ++i) {
      tensors.push_back(static_cast<char*>(runtime->Allocate(kTensor)));
      std::memset(tensors.back(), i, kTensor);
    }
    {
      Ballast ballast;
      if (!ballast.reached()) _exit(2);
      // The half that is in fast memory can be used as before.
      for (int i = 63; i > 56; --i) {
        if (tensors[i][0] != static_cast<char>(i)) _exit(3);
      }
      void* const more = runtime->Allocate(kTensor);
      if (more == nullptr && std::strlen(tc_last_error()) < 10) _exit(4);
      if (more != nullptr && tc_free(runtime->handle(), more) != TC_OK) _exit(5);
    }
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 64; ++i) {
        for (size_t at = 0; at < kTensor; at += 512) {
          if (tensors[i][at] != static_cast<char>(i)) _exit(6);
        }
      }
    }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace thermocline

// Forks of a process whose tensors are in both tiers: each side reads the bytes as they were and never sees the other's
// later writes; nothing that a child held is kept after it has ended.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>
#include <tuple>
#include <vector>

#include "src/os/fault_signal.h"
#include "src/runtime/fork_guard.h"
#include "src/runtime/runtime.h"
#include "src/tier/tier_spec.h"

namespace thermocline::runtime {
namespace {

constexpr Bytes kGranule = KiB(64);
constexpr Bytes kTensor = KiB(256);
constexpr int kTensors = 24;  // six times the budget of 16 granules

// Its slow tier, and whether holes wait for system calls.
using Place = std::tuple<const char*, const char*>;

std::unique_ptr<Runtime> MakeRuntime(const Place& place) {
  const std::string slow = std::get<0>(place);
  Settings settings;
  settings.fast = kGranule * 16;
  settings.granule_bytes = kGranule;
  settings.slow_text = slow;
  settings.slow = *tier::ParseTierSpec(slow);
  settings.planner = "lru";
  settings.kernel_faults = std::get<1>(place);
  settings.held_frames = true;
  auto runtime = Runtime::Create(settings);
  EXPECT_TRUE(runtime.ok() || absl::IsPermissionDenied(runtime.status())) << runtime.status();
  return runtime.ok() ? *std::move(runtime) : nullptr;
}

class ForkTest : public ::testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    runtime_ = MakeRuntime(GetParam());
    if (runtime_ == nullptr) GTEST_SKIP() << "needs userfaultfd for the kernel's faults: root or CAP_SYS_PTRACE";
    for (int i = 0; i < kTensors; ++i) {
      tensors_.push_back(static_cast<char*>(runtime_->Allocate(kTensor, Bytes(64))));
      ASSERT_NE(tensors_.back(), nullptr);
      Fill(i, 'A');
    }
  }
  void Fill(int i, char base) { std::memset(tensors_[i], base + i, kTensor.count()); }
  void FillAll(char base) {
    for (int i = 0; i < kTensors; ++i) Fill(i, base);
  }
  bool AllHold(char base) const {
    for (int i = 0; i < kTensors; ++i) {
      const char* const t = tensors_[i];
      if (!std::all_of(t, t + kTensor.count(), [=](char c) { return c == static_cast<char>(base + i); })) return false;
    }
    return true;
  }
  // Exit status of a child that runs the body; 100 + signal when it was killed.
  template <typename Body>
  static pid_t Child(Body body) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(30);
      _exit(body());
    }
    return child;
  }
  static int StatusOf(pid_t child) {
    int status = 0;
    if (waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
  }

  std::unique_ptr<Runtime> runtime_;
  std::vector<char*> tensors_;
};

// Holds the children of a test back until told.
class Gate {
 public:
  Gate() { EXPECT_EQ(pipe(ends_), 0); }
  ~Gate() {
    close(ends_[0]);
    if (ends_[1] >= 0) close(ends_[1]);
  }
  void WaitInChild() {
    close(ends_[1]);
    ends_[1] = -1;
    char byte;
    while (read(ends_[0], &byte, 1) > 0) {
    }
  }
  void Open() {
    close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  int ends_[2];
};

TEST_P(ForkTest, TheChildReadsWhatWasWhileTheParentRewritesAndEvictsEverything) {
  Gate gate;
  const pid_t child = Child([&] {
    gate.WaitInChild();
    return AllHold('A') ? 0 : 1;
  });
  for (char base : {'B', 'C', 'D'}) FillAll(base);
  gate.Open();
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_TRUE(AllHold('D'));
}

TEST_P(ForkTest, TheParentNeverSeesTheChildsWrites) {
  const pid_t child = Child([&] {
    FillAll('X');
    if (!AllHold('X')) return 1;
    for (char* tensor : tensors_) {
      if (!runtime_->Free(tensor)) return 2;
    }
    char* const fresh = static_cast<char*>(runtime_->Allocate(kTensor, Bytes(64)));
    if (fresh == nullptr) return 3;
    std::memset(fresh, 1, kTensor.count());
    return 0;
  });
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_TRUE(AllHold('A'));
  FillAll('B');
  EXPECT_TRUE(AllHold('B'));
}

TEST_P(ForkTest, GrandchildrenReadWhatWas) {
  Gate gate;
  const pid_t child = Child([&] {
    Fill(0, 'Q');
    const pid_t grandchild = Child([&] {
      gate.WaitInChild();
      if (tensors_[0][1] != 'Q') return 2;
      Fill(0, 'A');
      return AllHold('A') ? 0 : 3;
    });
    gate.WaitInChild();
    const int status = StatusOf(grandchild);
    Fill(0, 'A');
    return status != 0 ? status : AllHold('A') ? 0 : 1;
  });
  FillAll('B');
  FillAll('C');
  gate.Open();
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_TRUE(AllHold('C'));
}

int OpenFiles() { return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {})); }

TEST_P(ForkTest, NothingIsKeptForChildrenThatHaveEnded) {
  const int files = OpenFiles();
  // Unless slots were given back, the slow tier (64 MiB) would be full after ten of these.
  for (int i = 0; i < 40; ++i) {
    const char base = static_cast<char>('A' + i % 20);
    FillAll(base);
    ASSERT_EQ(StatusOf(Child([&] { return AllHold(base) ? 0 : 1; })), 0) << i;
  }
  FillAll('B');
  EXPECT_TRUE(AllHold('B'));
  EXPECT_LE(OpenFiles(), files + 2);
  PollForks();
  EXPECT_TRUE(runtime_->Stats().residency.slots <= kTensors * (kTensor / kGranule));
  EXPECT_EQ(runtime_->Stats().residency.io_errors, 0);
}

TEST_P(ForkTest, RoomKeptForAChildIsHadAgainOnceItHasEnded) {
  Gate gate;
  const pid_t child = Child([&] {
    gate.WaitInChild();
    return AllHold('A') ? 0 : 1;
  });
  FillAll('B');
  while (runtime_->Allocate(kTensor, Bytes(64)) != nullptr) {
  }
  gate.Open();
  EXPECT_EQ(StatusOf(child), 0);
  for (int i = 0; i < kTensors / 2; ++i) EXPECT_NE(runtime_->Allocate(kTensor, Bytes(64)), nullptr) << i;
  EXPECT_TRUE(AllHold('B'));
}

TEST_P(ForkTest, ARawCloneFaultsRatherThanReadsZeroes) {
  int faults = 0;
  for (int i = 0; i < kTensors; i += 5) {
    const pid_t child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
    if (child == 0) {
      const char* const t = tensors_[i];
      for (int64_t at = 0; at < kTensor.count(); at += 4096) {
        if (*const_cast<volatile char*>(t + at) != static_cast<char>('A' + i)) syscall(SYS_exit_group, 1);
      }
      syscall(SYS_exit_group, 0);
    }
    const int status = StatusOf(child);
    EXPECT_TRUE(status == 0 || status == 100 + SIGSEGV) << status;
    faults += status != 0;
  }
  EXPECT_GT(faults, 0) << "everything was in fast memory";
  EXPECT_TRUE(AllHold('A'));
}

TEST_P(ForkTest, SignalsAreAsBeforeAfterAForkWithTwoRuntimes) {
  auto second = MakeRuntime(GetParam());
  sigset_t before, after;
  sigprocmask(SIG_BLOCK, nullptr, &before);
  EXPECT_EQ(StatusOf(Child([&] {
              sigset_t inside;
              sigprocmask(SIG_BLOCK, nullptr, &inside);
              if (sigismember(&inside, SIGSEGV) != 0) return 2;
              return AllHold('A') ? 0 : 1;
            })),
            0);
  sigprocmask(SIG_BLOCK, nullptr, &after);
  for (int signum = 1; signum < 32; ++signum) EXPECT_EQ(sigismember(&before, signum), sigismember(&after, signum));
  EXPECT_TRUE(AllHold('A'));
}

// As each step does when it begins, while another thread starts a process that sets its own handlers.
TEST_P(ForkTest, AChildSetsItsHandlersThoughAThreadItDoesNotHaveWasAtThem) {
  std::atomic<bool> stop{false};
  std::thread steps([&] {
    while (!stop.load()) os::ReclaimFaultSignals();
  });
  for (int i = 0; i < 100; ++i) {
    const pid_t child = Child([] {
      struct sigaction action = {};
      action.sa_handler = SIG_DFL;
      return os::SetChainedAction(SIGSEGV, &action, nullptr);
    });
    // It waits with all signals blocked, an alarm too.
    siginfo_t ended = {};
    for (int waited = 0; ended.si_pid == 0 && waited < 10'000; ++waited) {
      ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
      if (ended.si_pid == 0) usleep(1000);
    }
    if (ended.si_pid == 0) kill(child, SIGKILL);
    const int status = StatusOf(child);
    EXPECT_EQ(status, 0) << i;
    if (status != 0) break;
  }
  stop.store(true);
  steps.join();
}

TEST_P(ForkTest, AChildForkedInAProfiledStepReadsItsTensors) {
  Settings settings = runtime_->settings();
  settings.planner = "lookahead";
  settings.link.emplace();
  settings.link->in = settings.link->out = BytesPerSecond(1e9);
  auto profiled = *Runtime::Create(settings);
  char* const tensor = static_cast<char*>(profiled->Allocate(kTensor, Bytes(64)));
  std::memset(tensor, 'p', kTensor.count());
  ASSERT_TRUE(profiled->StartProfile().ok());
  ASSERT_TRUE(profiled->AddLayer("a").ok());
  EXPECT_EQ(StatusOf(Child([&] {
              if (!std::all_of(tensor, tensor + kTensor.count(), [](char c) { return c == 'p'; })) return 1;
              std::memset(tensor, 'q', kTensor.count());
              return profiled->EndProfile().ok() ? 0 : 2;
            })),
            0);
  EXPECT_EQ(tensor[9], 'p');
  EXPECT_TRUE(profiled->EndProfile().ok());
}

TEST_P(ForkTest, ForksAmongBusyThreadsAndMigrations) {
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 2; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; !stop.load(); ++round) {
        for (int i = thread; i < kTensors; i += 2) {
          if (tensors_[i][round % kTensor.count()] != static_cast<char>('A' + i)) ++wrong;
          if (round % 3 == 0) Fill(i, 'A');
        }
        void* const scratch = runtime_->Allocate(kTensor, Bytes(64));
        if (scratch != nullptr) runtime_->Free(scratch);
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(StatusOf(Child([&] { return AllHold('A') ? 0 : 1; })), 0) << i;
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

INSTANTIATE_TEST_SUITE_P(Tiers, ForkTest,
                         ::testing::Combine(::testing::Values("emulated:in=4GB/s,out=4GB/s,latency=10us,capacity=64MiB",
                                                              "file:/var/tmp,capacity=64MiB"),
                                            ::testing::Values("off", "on")),
                         [](const auto& tested) {
                           const std::string tier = std::get<0>(tested.param)[0] == 'e' ? "Emulated" : "File";
                           return tier + (std::get<1>(tested.param)[1] == 'n' ? "WithKernelFaults" : "");
                         });

}  // namespace
}  // namespace thermocline::runtime

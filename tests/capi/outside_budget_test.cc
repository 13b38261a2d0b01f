// The fast budget as another process sees it, from before a runtime is created to its end. This process stops the one
// that trains, again and again and at any moment, and adds up what the kernel says: what is resident of the library's
// address space, the blocks of its memory files, and what the page cache holds of its slow file. The one that trains
// has no privilege; its link is measured, a step profiled, others placed, and the budget changes in the middle of one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "src/tier/file_system.h"
#include "tests/capi/network_on_capi.h"
#include "tests/os/nobody.h"
#include "tests/os/smaps.h"

namespace thermocline {
namespace {

enum Phase : int { kCreated, kByDemand, kProfiled, kPlaced, kLowering, kLowered, kRaised, kPhases };
constexpr std::array<const char*, kPhases> kNames = {"being created", "by demand", "profiled", "placed",
                                                     "being lowered", "lowered",   "raised"};

constexpr int kSteps = 14;
constexpr int kLoweredIn = 6, kRaisedIn = 10;  // the steps in whose middle the budget changes
constexpr int64_t kBudget = 3 << 20, kLess = 2 << 20, kMore = 5 << 19;
constexpr int kNotHere = 77;

// What the two processes tell each other.
struct Board {
  std::atomic<int64_t> budget{kBudget};  // that holds now
  std::atomic<int> phase{kCreated};
  std::atomic<int64_t> samples{0};

  // So that each layer is looked at while it runs.
  void AwaitSample() const {
    const int64_t before = samples.load();
    while (samples.load() == before) usleep(50);
  }
};

Board& NewBoard() {
  void* const page = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(page, MAP_FAILED);
  return *new (page) Board;
}

// ---------------------------------------------------------------------------------------------------------------------
// The process that trains.

void Change(Runtime& runtime, Board& board, int64_t budget, Phase then) {
  if (budget < board.budget) {
    board.phase = kLowering;
  } else {
    board.budget = budget;
  }
  const Status changed = runtime.SetFastBudget(std::to_string(budget));
  EXPECT_TRUE(changed.ok()) << changed.message();
  board.budget = budget;
  board.phase = then;
}

std::vector<double> LossesOn(Runtime& runtime, Board& board) {
  NetworkHooks hooks = On(runtime);
  int step = -1, layer = 0;
  hooks.begin_step = [&, begin = hooks.begin_step] {
    layer = 0;
    if (++step < 3) board.phase = kByDemand + step;
    begin();
  };
  hooks.add_layer = [&, add = hooks.add_layer] {
    board.AwaitSample();
    if (++layer == kNetworkLayers / 2 && step == kLoweredIn) Change(runtime, board, kLess, kLowered);
    if (layer == kNetworkLayers / 2 && step == kRaisedIn) Change(runtime, board, kMore, kRaised);
    add();
  };
  return Losses(std::move(hooks), kSteps);
}

// Its exit status.
int Train(Board& board, const char* profiler) {
  alarm(100);
  // As nobody, who is shown less of what the system caches; root keeps the budget too where nobody can't be had.
  if (os::NobodyMayWriteTo("/var/tmp") && !os::BecomeNobody()) return 2;
  setenv("THERMOCLINE_PROFILER", profiler, 1);
  unsetenv("THERMOCLINE_LINK");
  Status status;
  const auto runtime =
      Runtime::Create({.fast = std::to_string(kBudget), .slow = "file:/var/tmp", .granule_bytes = 64 << 10}, &status);
  if (runtime == nullptr) std::fprintf(stderr, "%s\n", status.message().c_str());
  if (status.code() == TC_UNAVAILABLE) return kNotHere;
  if (runtime == nullptr) return 3;
  const bool same = LossesOn(*runtime, board) == Losses(OnMalloc(), kSteps);
  const tc_stats stats = runtime->Stats();
  EXPECT_GT(stats.bytes_in, 0u);
  EXPECT_GT(stats.matched_allocations, 100u) << "the plan was never used";
  return same && !::testing::Test::HasFailure() ? 0 : 1;
}

// ---------------------------------------------------------------------------------------------------------------------
// The process that looks.

// Where the library's address space lies (src/os/memory.cc) and nothing else does.
const char* const kArenas = reinterpret_cast<const char*>(0x0c00'0000'0000);
constexpr Bytes kArenasSize(0x1c00'0000'0000);

Bytes CachedOfNamelessFiles(const std::string& process) {
  Bytes sum;
  for (const std::string& path : os::OpenFiles(process, [](const std::string& name) {
         return name.ends_with(" (deleted)") && !name.starts_with("/memfd:") && !name.starts_with("/dev/");
       })) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
      ADD_FAILURE() << path << " can't be looked at";
    } else if (status.st_size > 0) {
      const int64_t cached = tier::RealFileSystem().CachedByMincore(fd, status.st_size);
      EXPECT_GE(cached, 0);
      sum += Bytes(cached);
    }
    if (fd >= 0) close(fd);
  }
  return sum;
}

Bytes FastBytes(pid_t pid) {
  const std::string process = std::to_string(pid);
  return os::InSmaps("Anonymous", kArenas, kArenasSize, process) + os::InMemoryFiles(process) +
         CachedOfNamelessFiles(process);
}

struct Seen {
  std::array<int, kPhases> samples{};
  std::array<Bytes, kPhases> most{};
  std::string over;  // what the first sample over the budget saw
  int exit_status = 0;
};

// Whether the child stands still now; false where it has ended, with its wait status. A thread that is ending waits in
// the kernel for its io_uring workers to end; where the stop has reached a worker first neither ever gets on, and the
// process is never reported as stopped (seen on Linux 6.18): it is let go then, and stopped again.
bool Stop(pid_t child, int& status) {
  constexpr int kLooks = 2000;
  while (kill(child, SIGSTOP) == 0) {
    for (int look = 0; look < kLooks; ++look) {
      const pid_t reported = waitpid(child, &status, WUNTRACED | WNOHANG);
      if (reported != 0) return reported == child && WIFSTOPPED(status);
      usleep(look < kLooks / 2 ? 20 : 1000);
    }
    kill(child, SIGCONT);
    usleep(1000);
  }
  return false;
}

// Until it has ended. It is stopped while it is looked at: frames move.
Seen Watch(pid_t child, Board& board) {
  Seen seen;
  std::mt19937 random(1);
  int status = 0;
  while (Stop(child, status)) {
    const int phase = board.phase;
    const Bytes fast = FastBytes(child), budget(board.budget);
    ++seen.samples[phase];
    seen.most[phase] = std::max(seen.most[phase], fast);
    if (fast > budget && seen.over.empty()) {
      seen.over =
          std::to_string(fast.count()) + " of " + std::to_string(budget.count()) + " bytes while " + kNames[phase];
    }
    ++board.samples;
    kill(child, SIGCONT);
    usleep(random() % 500);
  }
  seen.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return seen;
}

class OutsideBudget : public ::testing::TestWithParam<const char*> {};

TEST_P(OutsideBudget, IsNeverExceededAtAnySample) {
  Board& board = NewBoard();
  const pid_t child = fork();
  if (child == 0) _exit(Train(board, GetParam()));
  const Seen seen = Watch(child, board);
  if (seen.exit_status == kNotHere) GTEST_SKIP() << "needs a kernel that has this profiler and allows it";
  EXPECT_EQ(seen.exit_status, 0);
  EXPECT_EQ(seen.over, "");
  for (const Phase phase : {kByDemand, kProfiled, kPlaced, kLowered, kRaised}) {
    EXPECT_GE(seen.samples[phase], kNetworkLayers) << "while " << kNames[phase];
    EXPECT_GT(seen.most[phase].count(), kLess * 3 / 4) << "while " << kNames[phase] << ": hardly anything was seen";
  }
  munmap(&board, sizeof(Board));
}

INSTANTIATE_TEST_SUITE_P(Profilers, OutsideBudget, ::testing::Values("mprotect", "userfaultfd"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace thermocline

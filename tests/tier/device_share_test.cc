// Several processes on one disk: each learns of the others, takes its part of the queue, and none starves.
#include "src/tier/device_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "src/tier/file_tier.h"
#include "tests/tier/faulty_file_system.h"
#include "tests/tier/frames.h"

namespace thermocline::tier {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kCount = DeviceShare::kCountNanos;

// Locks lie in the topmost directory that may be opened: here it is a test's own, so that it meets no other process.
class OwnTop final : public FaultyFileSystem {
 public:
  int Open(const char* path, int flags, mode_t mode) override {
    return std::strstr(path, "/..") != nullptr ? -EACCES : real_.Open(path, flags, mode);
  }
};

class DeviceShareTest : public ::testing::Test {
 protected:
  DeviceShareTest() {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    watcher_ = Join();
  }
  ~DeviceShareTest() override { rmdir(directory_.c_str()); }

  std::unique_ptr<DeviceShare> Join() { return DeviceShare::Join(directory_, files_); }
  int Others() {
    now_ += kCount;
    watcher_->Use(now_);
    return watcher_->others();
  }
  FileTierOptions Options(int depth) const {
    FileTierOptions options;
    options.directory = directory_;
    options.granule_bytes = MiB(1);
    options.capacity = MiB(64);
    options.queue_depth = depth;
    return options;
  }
  void ReadForEver(int depth, std::atomic<int64_t>* moved);

  std::string directory_ = SlowTestDirectory() + "/thermocline-test-XXXXXX";
  OwnTop files_;
  std::unique_ptr<DeviceShare> watcher_;
  int64_t now_ = 0;
};

TEST_F(DeviceShareTest, WhoeverMovesSomethingIsCountedUntilItLeaves) {
  EXPECT_EQ(watcher_->Depth(32), 32);
  const auto first = Join(), second = Join();
  EXPECT_EQ(Others(), 0) << "they have moved nothing yet";
  first->Use(0);
  EXPECT_EQ(Others(), 1);
  EXPECT_EQ(watcher_->Depth(32), 16);
  second->Use(0);
  EXPECT_EQ(Others(), 2);
  EXPECT_EQ(watcher_->Depth(32), 10);
  EXPECT_EQ(watcher_->Depth(8), 8) << "a short queue is within its part";
  EXPECT_EQ(second->others(), 2) << "each sees the others";
  first->Leave();
  EXPECT_EQ(Others(), 1);
}

TEST_F(DeviceShareTest, HoweverManyThereAreEachHasAPart) {
  std::vector<std::unique_ptr<DeviceShare>> many;
  for (int i = 0; i < 20; ++i) {
    many.push_back(Join());
    many.back()->Use(0);
  }
  EXPECT_EQ(Others(), 20);
  EXPECT_EQ(watcher_->Depth(32), DeviceShare::kLeastDepth);
  EXPECT_EQ(watcher_->Depth(2), 2);
}

TEST_F(DeviceShareTest, OtherDirectoriesOfTheFileSystemAreTheSameDisk) {
  const auto count = [this](DeviceShare& share) {
    now_ += kCount;
    share.Use(now_);
    return share.others();
  };
  // On the machine's own file system, where other programs may move something as well.
  const auto here = DeviceShare::Join(SlowTestDirectory(), RealFileSystem());
  const auto below = DeviceShare::Join(directory_, RealFileSystem());
  const int before = count(*here);
  below->Use(now_);
  EXPECT_GE(count(*here), before + 1);
}

TEST_F(DeviceShareTest, AKilledProcessIsCountedNoMore) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto mine = Join();
    mine->Use(0);
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(1);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(Others(), 1);
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(Others(), 0);
  close(ready[0]);
  close(ready[1]);
}

TEST_F(DeviceShareTest, WhereLocksAreRefusedEachHasTheWholeQueueAndTheRecordSaysSo) {
  const auto other = Join();
  other->Use(0);
  FailCall files("lock", ENOLCK);
  const auto alone = DeviceShare::Join(directory_, files);
  alone->Use(0);
  EXPECT_EQ(alone->Depth(32), 32);
  EXPECT_THAT(alone->probe().answer, HasSubstr("ENOLCK"));
  EXPECT_THAT(alone->probe().fallback, HasSubstr("each process"));
  alone->Leave();
}

TEST_F(DeviceShareTest, ATierTakesPartWhileItMovesAndNoLongerWhenItIsIdle) {
  const auto tier = FileTier::Create(Options(32), files_);
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_EQ(Others(), 0);
  const Frames frames(1, MiB(1));
  frames.Fill(0, 1);
  std::vector<Completion> done;
  ASSERT_EQ((*tier)->Submit({{1, Direction::kOut, (*tier)->AllocateSlot(), frames[0]}}), 1);
  EXPECT_EQ(Others(), 1);
  EXPECT_LE((*tier)->max_in_flight(), 16);
  while (done.empty()) (*tier)->Reap(&done, -1);
  const int64_t start = MonotonicClock().NowNanos();
  (*tier)->Reap(&done, DeviceShare::kLingerNanos * 3 / 2);
  EXPECT_GE(MonotonicClock().NowNanos() - start, DeviceShare::kLingerNanos * 4 / 3) << "it waits as long as it is told";
  EXPECT_EQ(Others(), 0);
}

// The thread that waits for the ring is woken just before the tier would leave, and runs a while later.
class LateWaiter final : public FaultyFileSystem {
 public:
  explicit LateWaiter(FileSystem& below) : FaultyFileSystem(below) {}
  int RingWait(io_uring* ring, int64_t nanos) override {
    if (nanos <= 0 || tier == nullptr) return real_.RingWait(ring, nanos);
    std::exchange(tier, nullptr)->Wake();
    usleep(DeviceShare::kLingerNanos / 1000 * 6 / 5);
    return real_.RingWait(ring, nanos);
  }
  FileTier* tier = nullptr;
};

TEST_F(DeviceShareTest, AWakeUpThatIsLearntOfWhenATierWouldLeaveIsNotLost) {
  LateWaiter files(files_);
  const auto tier = FileTier::Create(Options(32), files);
  ASSERT_TRUE(tier.ok()) << tier.status();
  if (!absl::StrContains((*tier)->Describe(), "io_uring")) GTEST_SKIP() << "needs io_uring";
  const Frames frames(1, MiB(1));
  frames.Fill(0, 1);
  std::vector<Completion> done;
  ASSERT_EQ((*tier)->Submit({{1, Direction::kOut, (*tier)->AllocateSlot(), frames[0]}}), 1);
  while (done.empty()) (*tier)->Reap(&done, -1);
  files.tier = tier->get();
  const int64_t start = MonotonicClock().NowNanos();
  (*tier)->Reap(&done, DeviceShare::kLingerNanos * 4);
  EXPECT_LT(MonotonicClock().NowNanos() - start, DeviceShare::kLingerNanos * 3);
}

// Reads as fast as the tier lets it, with up to `depth` in flight, and counts the granules in `moved`.
void DeviceShareTest::ReadForEver(int depth, std::atomic<int64_t>* moved) {
  const auto tier = FileTier::Create(Options(depth), files_);
  if (!tier.ok()) _exit(1);
  const Frames frames(1, MiB(1));
  frames.Fill(0, 2);
  std::vector<Transfer> transfers;
  for (uint64_t i = 0; i < 64; ++i) transfers.push_back({i, Direction::kOut, (*tier)->AllocateSlot(), frames[0]});
  std::vector<Completion> done;
  for (size_t submitted = 0; done.size() < transfers.size();) {
    submitted += (*tier)->Submit(absl::MakeSpan(transfers).subspan(submitted));
    (*tier)->Reap(&done, -1);
  }
  for (uint64_t i = 0;;) {
    while ((*tier)->Submit({{i, Direction::kIn, transfers[i % 64].slot, frames[0]}}) == 1) ++i;
    done.clear();
    (*tier)->Reap(&done, -1);
    moved->fetch_add(static_cast<int64_t>(done.size()));
  }
}

TEST_F(DeviceShareTest, AProcessWithAShortQueueIsNotStarvedByOneWithALongQueue) {
  auto* const shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* const moved = new (shared) std::atomic<int64_t>[2] {};
  std::vector<pid_t> children;
  for (const int depth : {256, 4}) {
    children.push_back(fork());
    if (children.back() == 0) ReadForEver(depth, &moved[depth == 4 ? 1 : 0]);
  }
  for (int i = 0; i < 300 && (moved[0] < 64 || moved[1] < 8); ++i) usleep(100'000);
  const int64_t greedy_start = moved[0], modest_start = moved[1];
  usleep(1'500'000);
  const int64_t greedy = moved[0] - greedy_start, modest = moved[1] - modest_start;
  for (const pid_t child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  RecordProperty("greedy", static_cast<int>(greedy));
  RecordProperty("modest", static_cast<int>(modest));
  EXPECT_GT(greedy, 0);
  EXPECT_GE(modest * 16, greedy) << "64 to 1 and more is what their queues alone give, 4 to 1 at most what is meant";
  munmap(shared, 4096);
}

}  // namespace
}  // namespace thermocline::tier

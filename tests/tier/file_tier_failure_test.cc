// What the file tier does when the disk is full, fails, or may be written to no more today; and when any one of its
// system calls fails at any moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/tier/file_tier_fixture.h"

namespace thermocline::tier {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST(FileTierTest, AFullDiskIsAFullTierAndNotAnError) {
  FailCall files("fallocate", ENOSPC, 1);
  FileTierOptions options = Options();
  options.granule_bytes = MiB(1);
  options.capacity = Bytes(0);
  const auto tier = FileTier::Create(options, files);
  ASSERT_TRUE(tier.ok()) << tier.status();
  int slots = 0;
  while ((*tier)->AllocateSlot() != kNoSlot) ++slots;
  EXPECT_EQ(slots, 64);  // the first growth
  EXPECT_EQ((*tier)->Stats().failures, 0);
  (*tier)->FreeSlot(SlotId(5));
  EXPECT_EQ((*tier)->AllocateSlot(), SlotId(5));
}

TEST(FileTierTest, NearTheDisksEndItTakesWhatStillFits) {
  class SmallDisk : public FaultyFileSystem {
   public:
    int Fallocate(int fd, int64_t offset, int64_t bytes) override {
      return offset + bytes > (21 << 20) ? -ENOSPC : real_.Fallocate(fd, offset, bytes);
    }
  };
  SmallDisk files;
  FileTierOptions options = Options();
  options.granule_bytes = MiB(2);
  options.capacity = Bytes(0);
  const auto tier = FileTier::Create(options, files);
  ASSERT_TRUE(tier.ok()) << tier.status();
  int slots = 0;
  while ((*tier)->AllocateSlot() != kNoSlot) ++slots;
  EXPECT_EQ(slots, 10);
}

TEST(FileTierTest, StaysUnderTheProcesssFileSizeLimit) {
  // In a child: past the limit the kernel would end the process with SIGXFSZ.
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    FileTierOptions options = Options();
    options.capacity = Bytes(0);
    const auto tier = FileTier::Create(options);
    int slots = 0;
    while (tier.ok() && (*tier)->AllocateSlot() != kNoSlot) ++slots;
    _exit(slots);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 16);
}

TEST(FileTierTest, ErrorsOfTheDiskAreCompletionsWithTheirErrno) {
  const Frames frames(1, KiB(64));
  frames.Fill(0, 3);
  for (const FileBackend backend : {FileBackend::kUring, FileBackend::kThreads}) {
    const bool ring = backend == FileBackend::kUring;
    FailCall in(ring ? "ring read" : "pread", EIO, ring ? 0 : 1);  // after the probe
    const auto reads = FileTier::Create(Options(backend), in);
    ASSERT_TRUE(reads.ok()) << reads.status();
    const SlotId slot = (*reads)->AllocateSlot();
    EXPECT_EQ(MoveOne(**reads, Direction::kOut, slot, frames[0]), 0);
    EXPECT_EQ(MoveOne(**reads, Direction::kIn, slot, frames[0]), EIO);
    EXPECT_EQ((*reads)->Stats().failures, 1);
    EXPECT_EQ((*reads)->Stats().bytes_in, Bytes(0));
    FailCall out(ring ? "ring write" : "pwrite", ENOSPC, ring ? 0 : 1);
    const auto writes = FileTier::Create(Options(backend), out);
    ASSERT_TRUE(writes.ok()) << writes.status();
    EXPECT_EQ(MoveOne(**writes, Direction::kOut, (*writes)->AllocateSlot(), frames[0]), ENOSPC);
    EXPECT_EQ((*writes)->Stats().bytes_out, Bytes(0));
  }
}

TEST(FileTierTest, AGranuleOfSeveralPiecesIsWholeOrFailed) {
  FileTierOptions options = Options(FileBackend::kUring);
  options.granule_bytes = MiB(4) + KiB(4);
  options.capacity = Bytes(0);
  const Frames frames(3, options.granule_bytes);
  ShortTransfersFileSystem shorts;
  const auto tier = FileTier::Create(options, shorts);
  ASSERT_TRUE(tier.ok()) << tier.status();
  const SlotId slots[] = {(*tier)->AllocateSlot(), (*tier)->AllocateSlot()};
  frames.Fill(0, 11);
  frames.Fill(1, 12);
  ASSERT_EQ(MoveOne(**tier, Direction::kOut, slots[0], frames[0]), 0);
  ASSERT_EQ(MoveOne(**tier, Direction::kOut, slots[1], frames[1]), 0);
  ASSERT_EQ(MoveOne(**tier, Direction::kIn, slots[0], frames[2]), 0);
  EXPECT_TRUE(frames.Holds(2, 11));

  for (int piece = 0; piece < 5; ++piece) {
    FailCall one("ring write", EIO, piece, piece + 1);
    const auto failing = FileTier::Create(options, one);
    ASSERT_TRUE(failing.ok()) << failing.status();
    const SlotId slot = (*failing)->AllocateSlot();
    EXPECT_EQ(MoveOne(**failing, Direction::kOut, slot, frames[0]), EIO) << "piece " << piece;
    EXPECT_EQ(MoveOne(**failing, Direction::kOut, slot, frames[0]), 0) << "after piece " << piece;
    EXPECT_EQ((*failing)->Stats().in_flight, 0);
  }
}

TEST(FileTierTest, PastTheDaysWritesItKeepsReadingButWritesNoMoreUntilTomorrow) {
  class HandClock : public Clock {
   public:
    int64_t NowNanos() const override { return now; }
    int64_t now = 0;
  };
  HandClock clock;
  FileTierOptions options = Options();
  options.clock = &clock;
  options.daily_write_cap = KiB(64) * 3;
  const auto tier = FileTier::Create(options);
  ASSERT_TRUE(tier.ok()) << tier.status();
  const Frames frames(1, KiB(64));
  frames.Fill(0, 3);
  const SlotId slot = (*tier)->AllocateSlot();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(MoveOne(**tier, Direction::kOut, slot, frames[0]), 0);
  EXPECT_EQ(MoveOne(**tier, Direction::kOut, slot, frames[0]), EDQUOT);
  EXPECT_EQ(MoveOne(**tier, Direction::kIn, slot, frames[0]), 0);
  EXPECT_EQ((*tier)->Stats().written_today, KiB(64) * 3);
  clock.now = int64_t{43'200} * 1'000'000'000;
  EXPECT_EQ((*tier)->Stats().written_per_day, KiB(64) * 6);
  clock.now = int64_t{86'401} * 1'000'000'000;
  EXPECT_EQ((*tier)->Stats().written_today, Bytes(0));
  EXPECT_EQ(MoveOne(**tier, Direction::kOut, slot, frames[0]), 0);
}

// The whole life of a tier: what a program would do with it.
struct Outcome {
  absl::Status created;
  bool full = false;
  int out = 0, in = 0, sync = 0;
  bool whole = false;
};
Outcome Live(FileBackend backend, FileSystem& files, const std::string& directory, const Frames& frames) {
  FileTierOptions options = Options(backend);
  options.directory = directory;
  const auto tier = FileTier::Create(options, files);
  if (!tier.ok()) return {tier.status()};
  Outcome outcome;
  const SlotId slot = (*tier)->AllocateSlot();
  if (slot == kNoSlot) {
    outcome.full = true;
    return outcome;
  }
  frames.Fill(0, 77);
  frames.Clear(1);
  frames.Clear(2);
  outcome.out = MoveOne(**tier, Direction::kOut, slot, frames[0]);
  if (outcome.out == 0) outcome.in = MoveOne(**tier, Direction::kIn, slot, frames[1]);
  if (outcome.out == 0) outcome.sync = (*tier)->ReadSync(slot, frames[2]);
  outcome.whole = (outcome.out != 0 || outcome.in != 0 || frames.Holds(1, 77)) &&
                  (outcome.out != 0 || outcome.sync != 0 || frames.Holds(2, 77));
  (*tier)->Stats();
  (*tier)->capacity();
  return outcome;
}

// The names of all calls that this life makes when none fails. Each is known to be reached, so failing it tests
// something.
std::set<std::string> CallsMade(FileBackend backend, const std::string& directory, const Frames& frames) {
  class Recorder : public FaultyFileSystem {
   public:
    std::set<std::string> names;

   protected:
    int64_t Fault(const char* call) override {
      std::lock_guard<std::mutex> lock(mutex_);
      names.insert(call);
      return 0;
    }
    std::mutex mutex_;
  };
  Recorder recorder;
  const Outcome outcome = Live(backend, recorder, directory, frames);
  EXPECT_TRUE(outcome.created.ok() && outcome.whole && outcome.out == 0 && outcome.in == 0 && outcome.sync == 0);
  for (const char* call : {"open", "fstatfs", "pwrite", "pread", "fallocate", "cachestat", "eventfd"}) {
    EXPECT_THAT(recorder.names, Contains(call));
  }
  if (backend != FileBackend::kThreads) {
    for (const char* call : {"io_uring_setup", "io_uring_enter", "ring read", "ring write"}) {
      EXPECT_THAT(recorder.names, Contains(call));
    }
  }
  return recorder.names;
}

class EverySystemCall : public ::testing::TestWithParam<std::tuple<FileBackend, int>> {};

TEST_P(EverySystemCall, MayFailAndNothingIsLostOrLeaked) {
  const auto [backend, error] = GetParam();
  const OwnDirectory own;
  ASSERT_FALSE(own.path().empty());
  const Frames frames(3, KiB(64));
  const int descriptors = OpenDescriptors();
  for (const std::string& call : CallsMade(backend, own.path(), frames)) {
    for (int n = 0; n < 200; ++n) {
      FailCall files(call, error, n, n + 1);
      const Outcome outcome = Live(backend, files, own.path(), frames);
      if (!files.reached()) break;  // it isn't called that often
      SCOPED_TRACE(testing::Message() << call << " " << n << " answered " << ErrnoText(error));
      if (!outcome.created.ok()) {
        EXPECT_THAT(std::string(outcome.created.message()), HasSubstr(ErrnoText(error)));
        EXPECT_THAT(std::string(outcome.created.message()), HasSubstr(own.path()));
      } else if (!outcome.full) {
        EXPECT_TRUE(outcome.whole) << "bytes that differ, and no error";
        EXPECT_THAT(outcome.out, AnyOf(0, error));
        EXPECT_THAT(outcome.in, AnyOf(0, error));
        EXPECT_THAT(outcome.sync, AnyOf(0, error));
      }
      EXPECT_EQ(own.Files(), 0) << "a file was left behind";
      EXPECT_EQ(OpenDescriptors(), descriptors) << "a descriptor leaks";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(FileTier, EverySystemCall,
                         ::testing::Combine(::testing::Values(FileBackend::kUring, FileBackend::kThreads,
                                                              FileBackend::kAuto),
                                            ::testing::Values(EIO, ENOSPC, EPERM, EINVAL, EMFILE, ENOSYS)));

}  // namespace
}  // namespace thermocline::tier

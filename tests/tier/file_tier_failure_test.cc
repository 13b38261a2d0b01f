// What the file tier does when the disk is full, fails, or may be written to no more today; and when any one of its
// system calls fails at any moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <iterator>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/base/hand_clock.h"
#include "tests/tier/file_tier_fixture.h"

namespace thermocline::tier {
namespace {

using ::testing::AnyOf;
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
  HandClock clock(0);
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
  std::vector<int> errors;  // of every transfer
  bool whole = true;
  bool NothingFailed() const {
    return created.ok() && !full && whole && std::count(errors.begin(), errors.end(), 0) == std::ssize(errors);
  }
};
Outcome Live(FileBackend backend, FileSystem& files, const std::string& directory, const Frames& frames) {
  FileTierOptions options = Options(backend);
  options.directory = directory;
  const auto tier = FileTier::Create(options, files);
  Outcome outcome;
  outcome.created = tier.status();
  if (!tier.ok()) return outcome;
  const SlotId slots[] = {(*tier)->AllocateSlot(), (*tier)->AllocateSlot()};
  outcome.full = slots[1] == kNoSlot;
  bool written[2] = {};
  for (const int i : {0, 1}) {
    if (slots[i] == kNoSlot) continue;
    frames.Fill(0, 77 + i);
    outcome.errors.push_back(MoveOne(**tier, Direction::kOut, slots[i], frames[0]));
    written[i] = outcome.errors.back() == 0;
  }
  (*tier)->Stats();
  for (const int i : {0, 1}) {
    if (!written[i]) continue;
    frames.Clear(1);
    frames.Clear(2);
    const int in = MoveOne(**tier, Direction::kIn, slots[i], frames[1]);
    const int sync = (*tier)->ReadSync(slots[i], frames[2]);
    outcome.errors.insert(outcome.errors.end(), {in, sync});
    outcome.whole &= (in != 0 || frames.Holds(1, 77 + i)) && (sync != 0 || frames.Holds(2, 77 + i));
  }
  (*tier)->capacity();
  std::vector<Completion> none;
  (*tier)->Reap(&none, 100'000);  // nothing is in flight: it waits
  return outcome;
}

// All that the file system can be asked, on any machine.
constexpr const char* kEveryCall[] = {
    "open",      "mkostemp",   "unlink",          "close",          "fcntl",
    "fstat",     "fstatfs",    "statfs",          "lock",           "pread",
    "pwrite",    "fallocate",  "sync_file_range", "others' lock",   "mincore",
    "eventfd",   "read text",  "ftruncate",       "posix_fadvise",  "cachestat",
    "ring read", "ring write", "io_uring_setup",  "io_uring_enter", "io_uring_enter to wait"};

constexpr FileBackend kBackends[] = {FileBackend::kUring, FileBackend::kThreads, FileBackend::kAuto};

// Each makes the tier take another of its ways around; the last ones all together.
constexpr Refusals kMachines[] = {
    {},
    {.name = "NoUnnamedFiles", .unnamed = true},
    {.name = "NoDirectTransfers", .direct = true},
    {.name = "DirectTransfersFail", .aligned = true},
    {.name = "SparseFiles", .fallocate = true},
    {.name = "NoCachestat", .cachestat = true},
    {.name = "OldRing", .ring = true},
    {.name = "Overlay", .overlay = true},
    {.name = "Poorest", .unnamed = true, .direct = true, .fallocate = true, .cachestat = true, .overlay = true},
};

// The names of all calls that this life makes when none fails. Each is known to be reached, so failing it tests
// something.
std::set<std::string> CallsMade(FileBackend backend, const Refusals& machine, const std::string& directory,
                                const Frames& frames) {
  class Recorder : public FaultyFileSystem {
   public:
    using FaultyFileSystem::FaultyFileSystem;
    std::set<std::string> names;

   protected:
    int64_t Fault(const char* call) override {
      std::lock_guard<std::mutex> lock(mutex_);
      names.insert(call);
      return 0;
    }
    std::mutex mutex_;
  };
  RefusingFileSystem refusing(machine);
  Recorder recorder(refusing);
  const Outcome outcome = Live(backend, recorder, directory, frames);
  const bool no_ring = machine.direct || machine.aligned || machine.ring;
  EXPECT_EQ(outcome.NothingFailed(), !no_ring || backend != FileBackend::kUring) << outcome.created;
  return recorder.names;
}

TEST(FileTierTest, EverySystemCallIsReachedOnOneMachineOrAnother) {
  const OwnDirectory own;
  const Frames frames(3, KiB(64));
  std::set<std::string> reached;
  for (const Refusals& machine : kMachines) {
    for (const FileBackend backend : kBackends) {
      SCOPED_TRACE(machine.name);
      reached.merge(CallsMade(backend, machine, own.path(), frames));
    }
  }
  EXPECT_EQ(reached, std::set<std::string>(std::begin(kEveryCall), std::end(kEveryCall)));
}

class EverySystemCall : public ::testing::TestWithParam<std::tuple<Refusals, FileBackend>> {
 protected:
  // The life with `call` answered by `error`, from its n-th time on until before `to`. False: it isn't made that often.
  bool LiveWith(const std::string& call, int error, int n, int to) {
    const auto& [machine, backend] = GetParam();
    RefusingFileSystem refusing(machine);
    FailCall files(call, error, n, to, refusing);
    const Outcome outcome = Live(backend, files, own_.path(), frames_);
    if (!files.reached()) return false;
    SCOPED_TRACE(testing::Message() << call << " " << n << (to > n + 1 ? " and all after it" : "") << " answered "
                                    << ErrnoText(error));
    if (!outcome.created.ok()) {
      const std::string message(outcome.created.message());
      EXPECT_THAT(message, HasSubstr(own_.path()));
      EXPECT_THAT(message, HasSubstr(ErrnoText(error)));
    }
    EXPECT_TRUE(outcome.whole) << "bytes that differ, and no error";
    for (const int result : outcome.errors) EXPECT_THAT(result, AnyOf(0, error));
    const bool cannot_unlink = call == "unlink" && to > n + 1;
    EXPECT_EQ(own_.RemoveFiles(), cannot_unlink ? 1 : 0) << "files left behind";
    if (cannot_unlink) {
      EXPECT_THAT(std::string(outcome.created.message()), HasSubstr("which is left behind"));
    }
    EXPECT_EQ(OpenDescriptors(), descriptors_) << "a descriptor leaks";
    return true;
  }

  const OwnDirectory own_;
  const Frames frames_{3, KiB(64)};
  const int descriptors_ = OpenDescriptors();
};

TEST_P(EverySystemCall, MayFailOnceAndNothingIsLostOrLeaked) {
  const auto& [machine, backend] = GetParam();
  for (const std::string& call : CallsMade(backend, machine, own_.path(), frames_)) {
    for (const int error : {EIO, EINVAL, ENOSYS, EINTR, ENOSPC, EPERM, EMFILE, ENOMEM}) {
      for (int n = 0; n < 200 && LiveWith(call, error, n, n + 1); ++n) {
      }
    }
  }
}

TEST_P(EverySystemCall, MayFailForEverAndNothingIsLostOrLeaked) {
  constexpr int kForEver = 1 << 30;
  const auto& [machine, backend] = GetParam();
  for (const std::string& call : CallsMade(backend, machine, own_.path(), frames_)) {
    for (const int error : {EIO, ENOSPC, EPERM, EINVAL, EMFILE, ENOSYS, EOPNOTSUPP, EDQUOT, EROFS, ENOMEM}) {
      for (const int n : {0, 1, 2}) LiveWith(call, error, n, kForEver);
    }
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Refusals, FileBackend>>& info) {
  const char* const backends[] = {"Auto", "Uring", "Threads"};
  return std::string(std::get<0>(info.param).name) + backends[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(HealthyFileTier, EverySystemCall,
                         ::testing::Combine(::testing::Values(Refusals{}), ::testing::ValuesIn(kBackends)), NameOf);
// What a machine refuses chooses the way around there.
INSTANTIATE_TEST_SUITE_P(FileTier, EverySystemCall,
                         ::testing::Combine(::testing::ValuesIn(kMachines + 1, std::end(kMachines)),
                                            ::testing::Values(FileBackend::kAuto)),
                         NameOf);

TEST(FileTierTest, AProcessThatMayWriteNoFileIsToldSo) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{4095, 4095};
    setrlimit(RLIMIT_FSIZE, &limit);
    const auto tier = FileTier::Create(Options());
    _exit(std::string(tier.status().message()).find("ulimit -f") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace thermocline::tier

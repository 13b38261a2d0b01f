// What the file tier promises beyond the conformance suite: what it refuses, what it leaves behind, what it falls back
// to, and what it does when the system fails it.
#include "src/tier/file_tier.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/tier/faulty_file_system.h"
#include "tests/tier/frames.h"

namespace thermocline::tier {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;

FileTierOptions Options(FileBackend backend = FileBackend::kAuto) {
  FileTierOptions options;
  options.directory = SlowTestDirectory();
  options.granule_bytes = KiB(64);
  options.capacity = KiB(64) * 8;
  options.backend = backend;
  return options;
}

int CountEntries(const char* directory) {
  int count = 0;
  DIR* dir = opendir(directory);
  while (dir != nullptr && readdir(dir) != nullptr) ++count;
  if (dir != nullptr) closedir(dir);
  return count;
}
int OpenDescriptors() { return CountEntries("/proc/self/fd"); }

// A directory of one's own, so that what is left in it can be counted.
class OwnDirectory {
 public:
  OwnDirectory() : path_(SlowTestDirectory() + "/thermocline-test-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~OwnDirectory() { rmdir(path_.c_str()); }
  const std::string& path() const { return path_; }
  int Files() const { return CountEntries(path_.c_str()) - 2; }  // less . and ..

 private:
  std::string path_;
};

int MoveOne(BlockTier& tier, Direction direction, SlotId slot, void* memory) {
  std::vector<Completion> completions;
  if (tier.Submit({{1, direction, slot, memory}}) != 1) return -1;
  for (int i = 0; i < 10 && completions.empty(); ++i) tier.Reap(&completions, 1'000'000'000);
  return completions.empty() ? -1 : completions[0].error;
}

TEST(FileTierTest, LeavesNoNameInTheDirectoryWhileItIsOpen) {
  const OwnDirectory own;
  FileTierOptions options = Options();
  options.directory = own.path();
  const auto tier = FileTier::Create(options);
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_NE((*tier)->AllocateSlot(), kNoSlot);
  EXPECT_EQ(own.Files(), 0);
}

TEST(FileTierTest, LeavesNoNameWhereUnnamedFilesAreNotSupported) {
  const OwnDirectory own;
  FailCall files("open", EOPNOTSUPP);
  FileTierOptions options = Options();
  options.directory = own.path();
  const auto tier = FileTier::Create(options, files);
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_EQ(own.Files(), 0);
  EXPECT_EQ((*tier)->probes()[0].fallback, "a named file, unlinked at once");
}

TEST(FileTierTest, NobodyElseCanReadTheFileAndItIsClosedOnExec) {
  for (const char* refused : {"nothing", "open"}) {
    FailCall files(refused, EOPNOTSUPP);
    const auto tier = FileTier::Create(Options(), files);
    ASSERT_TRUE(tier.ok()) << tier.status();
    struct stat info;
    ASSERT_EQ(fstat((*tier)->fd(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600);
    EXPECT_EQ(info.st_nlink, 0);
    EXPECT_TRUE(fcntl((*tier)->fd(), F_GETFD) & FD_CLOEXEC);
  }
}

TEST(FileTierTest, RefusesADirectoryInMemory) {
  struct statfs info;
  if (statfs("/dev/shm", &info) != 0 || info.f_type != 0x01021994) GTEST_SKIP() << "/dev/shm is not a tmpfs here";
  FileTierOptions options = Options();
  options.directory = "/dev/shm";
  const auto tier = FileTier::Create(options);
  ASSERT_EQ(tier.status().code(), absl::StatusCode::kFailedPrecondition) << tier.status();
  EXPECT_THAT(std::string(tier.status().message()), HasSubstr("/dev/shm is in memory (tmpfs"));
}

TEST(FileTierTest, RefusesADirectoryThatIsNotThereOrNotADirectoryOrNotNamed) {
  FileTierOptions options = Options();
  options.directory = "/no/such/directory";
  EXPECT_THAT(std::string(FileTier::Create(options).status().message()), HasSubstr("/no/such/directory: open answered "
                                                                                   "ENOENT"));
  options.directory = "/etc/passwd";
  EXPECT_THAT(std::string(FileTier::Create(options).status().message()), HasSubstr("ENOTDIR"));
  options.directory = "";
  EXPECT_THAT(std::string(FileTier::Create(options).status().message()), HasSubstr("empty path"));
}

TEST(FileTierTest, RefusesOptionsThatMakeNoSense) {
  FileTierOptions options = Options();
  options.granule_bytes = Bytes(5000);
  EXPECT_EQ(FileTier::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
  options = Options();
  options.queue_depth = 0;
  EXPECT_EQ(FileTier::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
  options = Options();
  options.capacity = Bytes(1);
  EXPECT_EQ(FileTier::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
}

// Of the backing, not of the call: other file systems that say they are memory.
class OtherFileSystem : public FaultyFileSystem {
 public:
  uint32_t magic = 0xef53;
  uint32_t upper_magic = 0xef53;
  std::string mounts;
  std::string uevent, loop;

  int Fstatfs(int fd, struct statfs* out) override {
    const int result = real_.Fstatfs(fd, out);
    out->f_type = magic;
    return result;
  }
  int Statfs(const char*, struct statfs* out) override {
    *out = {};
    out->f_type = upper_magic;
    return 0;
  }
  std::string ReadText(const char* path) override {
    const std::string name = path;
    if (name == "/proc/self/mountinfo") return mounts;
    if (name.find("uevent") != std::string::npos) return uevent;
    return name.find("backing_file") != std::string::npos ? loop : "";
  }
};

TEST(FileTierTest, SeesMemoryUnderAnOverlayALoopDeviceOrARamDisk) {
  OtherFileSystem files;
  EXPECT_TRUE(FileTier::Create(Options(), files).ok());
  files.magic = 0x858458f6;
  EXPECT_THAT(std::string(FileTier::Create(Options(), files).status().message()), HasSubstr("ramfs"));
  files.magic = 0x794c7630;
  files.mounts = "22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/l,upperdir=/run/up,workdir=/w\n";
  EXPECT_TRUE(FileTier::Create(Options(), files).ok());
  files.upper_magic = 0x01021994;
  EXPECT_THAT(std::string(FileTier::Create(Options(), files).status().message()), HasSubstr("/run/up lies on tmpfs"));
  files.magic = 0xef53;
  files.loop = "/dev/shm/disk.img\n";
  EXPECT_THAT(std::string(FileTier::Create(Options(), files).status().message()), HasSubstr("/dev/shm/disk.img"));
  files.loop.clear();
  files.uevent = "MAJOR=252\nDEVNAME=zram0\n";
  EXPECT_THAT(std::string(FileTier::Create(Options(), files).status().message()), HasSubstr("zram0 is memory"));
}

TEST(FileTierTest, WithoutODirectItWritesThroughAndKeepsNothingCached) {
  NoDirectFileSystem files;
  const auto made = FileTier::Create(Options(), files);
  ASSERT_TRUE(made.ok()) << made.status();
  FileTier& tier = **made;
  EXPECT_FALSE(tier.direct());
  EXPECT_THAT(tier.Describe(), HasSubstr("page cache"));
  const Frames frames(1, KiB(64));
  frames.Fill(0, 3);
  const SlotId slot = tier.AllocateSlot();
  ASSERT_EQ(MoveOne(tier, Direction::kOut, slot, frames[0]), 0);
  EXPECT_EQ(tier.Stats().cached, Bytes(0));
  ASSERT_EQ(tier.ReadSync(slot, frames[0]), 0);
  EXPECT_EQ(tier.Stats().cached, Bytes(0));
}

TEST(FileTierTest, CountsWhatStaysInThePageCache) {
  class KeepsCache : public NoDirectFileSystem {
   public:
    explicit KeepsCache(bool has_cachestat) : has_cachestat_(has_cachestat) {}
    int DropCache(int, int64_t, int64_t) override { return 0; }
    int64_t CachedByCachestat(int fd, int64_t bytes) override {
      return has_cachestat_ ? real_.CachedByCachestat(fd, bytes) : -ENOSYS;
    }
    const bool has_cachestat_;
  };
  for (const bool has_cachestat : {true, false}) {
    KeepsCache files(has_cachestat);
    const auto tier = FileTier::Create(Options(), files);
    ASSERT_TRUE(tier.ok()) << tier.status();
    const Frames frames(1, KiB(64));
    frames.Fill(0, 3);
    ASSERT_EQ(MoveOne(**tier, Direction::kOut, (*tier)->AllocateSlot(), frames[0]), 0);
    EXPECT_EQ((*tier)->Stats().cached, KiB(64)) << "cachestat " << has_cachestat;
  }
}

TEST(FileTierTest, ATransferThatODirectRefusesTurnsToThePageCache) {
  FailCall files("pwrite", EINVAL, 0, 1);  // the open was accepted
  const auto tier = FileTier::Create(Options(), files);
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_FALSE((*tier)->direct());
  const Frames frames(2, KiB(64));
  frames.Fill(0, 4);
  const SlotId slot = (*tier)->AllocateSlot();
  ASSERT_EQ(MoveOne(**tier, Direction::kOut, slot, frames[0]), 0);
  ASSERT_EQ(MoveOne(**tier, Direction::kIn, slot, frames[1]), 0);
  EXPECT_TRUE(frames.Holds(1, 4));
}

TEST(FileTierTest, WhereIoUringIsForbiddenThreadsDoItAndTheRecordSaysWhy) {
  FailCall files("io_uring_setup", EPERM);
  const auto tier = FileTier::Create(Options(), files);
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_THAT((*tier)->Describe(), HasSubstr("threads"));
  const ProbeRecord& record = (*tier)->probes().back();
  EXPECT_EQ(record.what, "io_uring");
  EXPECT_THAT(record.answer, HasSubstr("io_uring_setup: EPERM"));
  EXPECT_THAT(record.fallback, HasSubstr("threads"));
  const auto forced = FileTier::Create(Options(FileBackend::kUring), files);
  EXPECT_EQ(forced.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(forced.status().message()), HasSubstr("engine=threads"));
}

// Answers EPERM to one system call, in this process from now on, as a container's filter does.
bool Forbid(int system_call) {
  sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                           BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(system_call), 0, 1),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog filter{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(FileTierTest, ASeccompFilterOnIoUringCostsNoByteWheneverItComes) {
  for (const bool before : {true, false}) {
    const pid_t child = fork();
    if (child == 0) {
      const Frames frames(2, KiB(64));
      frames.Fill(0, 5);
      if (before && !Forbid(SYS_io_uring_setup)) _exit(10);
      const auto tier = FileTier::Create(Options());
      if (!tier.ok()) _exit(1);
      const SlotId slot = (*tier)->AllocateSlot();
      if (MoveOne(**tier, Direction::kOut, slot, frames[0]) != 0) _exit(2);
      if (!before && !Forbid(SYS_io_uring_enter)) _exit(10);
      if (MoveOne(**tier, Direction::kIn, slot, frames[1]) != 0) _exit(3);
      if (MoveOne(**tier, Direction::kOut, slot, frames[1]) != 0) _exit(4);
      (*tier)->Wake();
      std::vector<Completion> none;
      (*tier)->Reap(&none, -1);
      _exit(frames.Holds(1, 5) ? 0 : 5);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << (before ? "before the ring" : "after the ring");
  }
}

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

TEST(FileTierTest, AFileSystemWithoutFallocateGrowsASparseFile) {
  FailCall files("fallocate", EOPNOTSUPP);
  const auto tier = FileTier::Create(Options(), files);
  ASSERT_TRUE(tier.ok()) << tier.status();
  const Frames frames(2, KiB(64));
  frames.Fill(0, 4);
  const SlotId slot = (*tier)->AllocateSlot();
  ASSERT_EQ(MoveOne(**tier, Direction::kOut, slot, frames[0]), 0);
  ASSERT_EQ(MoveOne(**tier, Direction::kIn, slot, frames[1]), 0);
  EXPECT_TRUE(frames.Holds(1, 4));
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
  EXPECT_EQ((*tier)->WrittenToday(), KiB(64) * 3);
  clock.now = int64_t{43'200} * 1'000'000'000;
  EXPECT_EQ((*tier)->WrittenPerDay(), KiB(64) * 6);
  clock.now = int64_t{86'401} * 1'000'000'000;
  EXPECT_EQ((*tier)->WrittenToday(), Bytes(0));
  EXPECT_EQ(MoveOne(**tier, Direction::kOut, slot, frames[0]), 0);
}

TEST(FileTierTest, AKilledProcessLeavesNothingBehind) {
  const OwnDirectory own;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    FileTierOptions options = Options();
    options.directory = own.path();
    const auto tier = FileTier::Create(options);
    const bool ok = tier.ok() && (*tier)->AllocateSlot() != kNoSlot && write(ready[1], "x", 1) == 1;
    if (ok) pause();
    _exit(1);
  }
  char byte;
  close(ready[1]);
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  kill(child, SIGKILL);
  int status;
  waitpid(child, &status, 0);
  EXPECT_EQ(own.Files(), 0);
}

}  // namespace
}  // namespace thermocline::tier

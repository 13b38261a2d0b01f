// What the file tier promises of its directory beyond the conformance suite: what it refuses, and what it leaves
// behind.
#include "src/tier/file_tier.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <string>

#include "tests/tier/file_tier_fixture.h"

namespace thermocline::tier {
namespace {

using ::testing::HasSubstr;

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

// Whatever ends the process, in the middle of its transfers too.
TEST(FileTierTest, AProcessThatIsKilledLeavesNothingBehind) {
  for (const int signal : {SIGKILL, SIGTERM, SIGINT, SIGSEGV}) {
    const OwnDirectory own;
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      ::signal(signal, SIG_DFL);  // a sanitizer's handler would exit instead
      FileTierOptions options = Options();
      options.directory = own.path();
      const auto tier = FileTier::Create(options);
      const Frames frames(1, KiB(64));
      const SlotId slot = tier.ok() ? (*tier)->AllocateSlot() : kNoSlot;
      for (int i = 0; slot != kNoSlot && MoveOne(**tier, Direction::kOut, slot, frames[0]) == 0; ++i) {
        if (i == 3 && write(ready[1], "x", 1) != 1) break;
      }
      _exit(1);
    }
    char byte;
    close(ready[1]);
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    kill(child, signal);
    int status;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << signal << ": it ended by itself, with " << status;
    EXPECT_EQ(own.Files(), 0) << signal;
  }
}

TEST(FileTierTest, RefusesADirectoryInMemory) {
  struct statfs info;
  if (statfs("/dev/shm", &info) != 0 || info.f_type != 0x01021994) GTEST_SKIP() << "needs a tmpfs at /dev/shm";
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

}  // namespace
}  // namespace thermocline::tier

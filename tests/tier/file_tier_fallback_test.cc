// What the file tier falls back to where O_DIRECT, io_uring or fallocate are refused, and what it says of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstddef>
#include <string>
#include <vector>

#include "tests/tier/file_tier_fixture.h"

namespace thermocline::tier {
namespace {

using ::testing::HasSubstr;

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

TEST(FileTierTest, WithoutUnnamedFilesAndODirectNoNameIsLeftEither) {
  for (const bool direct : {true, false}) {
    const OwnDirectory own;
    RefusingFileSystem files({.unnamed = true, .direct = !direct});
    FileTierOptions options = Options();
    options.directory = own.path();
    const auto tier = FileTier::Create(options, files);
    ASSERT_TRUE(tier.ok()) << tier.status();
    EXPECT_EQ((*tier)->direct(), direct);
    EXPECT_EQ((fcntl((*tier)->fd(), F_GETFL) & O_DIRECT) != 0, direct);
    EXPECT_EQ(own.Files(), 0);
  }
}

TEST(FileTierTest, CountsWhatStaysInThePageCache) {
  for (const bool has_cachestat : {true, false}) {
    KeepsCacheFileSystem files(1 << 20, has_cachestat);
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

}  // namespace
}  // namespace thermocline::tier

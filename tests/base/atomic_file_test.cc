#include "src/base/atomic_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

namespace thermocline {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class AtomicFile : public ::testing::Test {
 protected:
  AtomicFile() : folder_(fs::path(::testing::TempDir()) / ("atomic_file_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~AtomicFile() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  static std::string Contents(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  int Entries() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }

  fs::path folder_;
};

TEST_F(AtomicFile, IsWrittenWholeAndLeavesNothingBesideIt) {
  const std::string text = std::string("a\0b", 3) + std::string(1 << 20, 'x');
  ASSERT_TRUE(WriteFileAtomically(Path("f"), text).ok());
  EXPECT_EQ(Contents(Path("f")), text);
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "").ok());
  EXPECT_EQ(Contents(Path("f")), "");
  EXPECT_EQ(Entries(), 1);
}

TEST_F(AtomicFile, AKilledWriterLeavesNoHalfOfAFile) {
  constexpr int kBytes = 16 << 20;
  for (int round = 0; round < 5; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      const std::string text(kBytes, 'x');
      for (int i = 0;; ++i) static_cast<void>(WriteFileAtomically(Path("f" + std::to_string(i)), text));
    }
    usleep(20'000 + round * 7'000);
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    for (const auto& entry : fs::directory_iterator(folder_)) {
      EXPECT_EQ(entry.path().filename().string().find("tmp"), std::string::npos) << entry.path();
      EXPECT_EQ(fs::file_size(entry.path()), kBytes) << entry.path();
    }
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
}

// Answers an errno to one system call, in this process from now on; only where its third argument has `bits`.
bool Refuse(int system_call, int error, unsigned bits = 0) {
  constexpr unsigned kNumber = offsetof(seccomp_data, nr), kThird = offsetof(seccomp_data, args[2]);
  const unsigned any = bits != 0 ? bits : ~0u;
  sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumber),
                           BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(system_call), 0, 3),
                           bits != 0 ? sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kThird)
                                     : sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_IMM, any),
                           BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, any, 0, 1),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog filter{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}
bool RefuseUnnamedFiles() { return Refuse(SYS_openat, EOPNOTSUPP, O_TMPFILE & ~O_DIRECTORY); }

#ifdef SYS_rename
constexpr int kRename = SYS_rename;
#else
constexpr int kRename = SYS_renameat;
#endif

enum class Ended { kKilled, kByItself, kNotTraced };

// Runs the body in a process that is killed at its n-th stop: it stops before and after each system call.
Ended KillAtStop(int n, const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    raise(SIGSTOP);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) return Ended::kNotTraced;
  for (int stop = 0; stop < n; ++stop) {
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) return Ended::kByItself;
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return Ended::kKilled;
}

TEST_F(AtomicFile, KilledAtAnySystemCallLeavesTheOldFileOrTheNewOneWhole) {
  const std::string old_text(10'000, 'o'), new_text(100'000, 'n');
  const auto whole = [&](const std::string& path) {
    const std::string text = Contents(path);
    return text == old_text || text == new_text;
  };
  for (const bool exists : {true, false}) {
    for (const bool unnamed : {true, false}) {
      int olds = 0, news = 0, left = 0;
      Ended ended = Ended::kKilled;
      for (int n = 0; ended == Ended::kKilled; ++n) {
        SCOPED_TRACE(testing::Message() << "exists " << exists << ", unnamed " << unnamed << ", stop " << n);
        if (exists) std::ofstream(Path("f")) << old_text;
        ended = KillAtStop(n, [&] {
          if (unnamed || RefuseUnnamedFiles()) static_cast<void>(WriteFileAtomically(Path("f"), new_text));
        });
        if (ended == Ended::kNotTraced) GTEST_SKIP() << "needs ptrace of a child process";
        const bool there = fs::exists(Path("f"));
        EXPECT_TRUE(there ? whole(Path("f")) : !exists) << "a part of a file, under the final name";
        (there && Contents(Path("f")) == new_text ? news : olds) += 1;
        for (const auto& entry : fs::directory_iterator(folder_)) {
          const std::string name = entry.path().filename().string();
          if (name == "f") continue;
          ++left;
          EXPECT_EQ(name.find("f.tmp."), 0u) << "what may be left, as the header says";
          EXPECT_TRUE(!unnamed || whole(entry.path().string())) << "a part under a name";
          fs::remove(entry.path());
        }
        EXPECT_TRUE(WriteFileAtomically(Path("f"), new_text).ok());
        fs::remove(Path("f"));
      }
      ASSERT_EQ(ended, Ended::kByItself);
      EXPECT_GE(olds, 5);
      EXPECT_GE(news, 2);
      EXPECT_EQ(left > 0, exists || !unnamed) << "a new file never has another name than its own";
    }
  }
}

TEST_F(AtomicFile, StaysAsItWasWhateverCallIsRefused) {
  constexpr struct {
    int number;
    int error;
    const char* call;  // that the message names; nullptr: it is done another way
  } kRefusals[] = {{SYS_write, ENOSPC, "write"}, {SYS_fsync, EIO, "fsync"},    {SYS_fchmod, EPERM, "fchmod"},
                   {kRename, EIO, "rename"},     {SYS_linkat, EPERM, nullptr}, {SYS_openat, EMFILE, "open"}};
  for (const auto& refusal : kRefusals) {
    for (const bool unnamed : {true, false}) {
      SCOPED_TRACE(testing::Message() << "system call " << refusal.number << ", unnamed " << unnamed);
      ASSERT_TRUE(WriteFileAtomically(Path("f"), "old").ok());
      const pid_t child = fork();
      if (child == 0) {
        if (!unnamed && !RefuseUnnamedFiles()) _exit(10);
        if (!Refuse(refusal.number, refusal.error)) _exit(10);
        const absl::Status status = WriteFileAtomically(Path("f"), "new");
        if (status.ok()) _exit(0);
        const std::string message(status.message());
        const bool says =
            refusal.call != nullptr && message.find(refusal.call + std::string(" failed")) != message.npos;
        _exit(says && message.find(Path("f")) != message.npos ? 1 : 2);
      }
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFEXITED(status)) << status;
      EXPECT_EQ(WEXITSTATUS(status), refusal.call != nullptr ? 1 : 0);
      EXPECT_EQ(Contents(Path("f")), refusal.call != nullptr ? "old" : "new");
      EXPECT_EQ(Entries(), 1) << "left behind";
    }
  }
}

TEST_F(AtomicFile, KeepsItsModeAndFollowsALink) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "old").ok());
  ASSERT_EQ(chmod(Path("f").c_str(), 0600), 0);
  fs::create_symlink("f", Path("link"));
  ASSERT_TRUE(WriteFileAtomically(Path("link"), "new").ok());
  EXPECT_TRUE(fs::is_symlink(Path("link")));
  EXPECT_EQ(Contents(Path("f")), "new");
  EXPECT_EQ(fs::status(Path("f")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(AtomicFile, StaysAsItWasWhenTheDiskRefuses) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "old").ok());
  struct rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 4096;
  auto* const handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFileAtomically(Path("f"), std::string(8192, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(Path("f")));
  EXPECT_EQ(Contents(Path("f")), "old");
  EXPECT_EQ(Entries(), 1);
}

TEST_F(AtomicFile, SaysWhatToDoAboutAMissingDirectory) {
  const absl::Status status = WriteFileAtomically(Path("no/f"), "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("check that its directory exists"));
  EXPECT_FALSE(WriteFileAtomically(folder_.string(), "x").ok()) << "a directory is no file";
}

TEST_F(AtomicFile, WritesToADeviceAsItIs) { EXPECT_TRUE(WriteFileAtomically("/dev/null", "x").ok()); }

}  // namespace
}  // namespace thermocline

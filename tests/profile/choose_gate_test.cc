#include "src/profile/choose_gate.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace thermocline::profile {
namespace {

using ::testing::HasSubstr;

class OldKernel final : public os::UserfaultCalls {
 public:
  long Userfaultfd(int) override { return 77; }
  long OpenDevice() override { return -ENOENT; }
  long Ioctl(int, unsigned long, void*) override { return -EINVAL; }
  long Read(int, void*, size_t) override { return -EAGAIN; }
  void Close(int descriptor) override { closed += descriptor == 77; }
  int closed = 0;
};

TEST(ChooseGate, AnUnknownNameIsRefusedWithTheKnownOnes) {
  const auto gate = MakeGate("ptrace", os::RealMemory());
  EXPECT_TRUE(absl::IsInvalidArgument(gate.status()));
  EXPECT_THAT(std::string(gate.status().message()), HasSubstr("auto, mprotect or userfaultfd"));
}

TEST(ChooseGate, AutoWorksOnAKernelThatHasNothing) {
  OldKernel calls;
  const auto gate = MakeGate("auto", os::RealMemory(), calls);
  ASSERT_TRUE(gate.ok()) << gate.status();
  EXPECT_EQ(std::string((*gate)->name()), "mprotect");
  EXPECT_TRUE(absl::IsUnimplemented(MakeGate("userfaultfd", os::RealMemory(), calls).status()));
  EXPECT_EQ(calls.closed, 1);
  EXPECT_THAT(ProbeGates("auto", calls).fallback, HasSubstr("mprotect"));
}

// A real filter, in a child: userfaultfd answers EPERM from then on.
int ForbidUserfaultfd() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {std::size(program), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 ? 0 : errno;
}

TEST(ChooseGate, WhereASeccompFilterForbidsUserfaultfdTheMessageSaysSoAndAutoWorks) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (ForbidUserfaultfd() != 0) _exit(2);
    const auto wanted = MakeGate("userfaultfd", os::RealMemory());
    if (!absl::IsPermissionDenied(wanted.status())) _exit(3);
    if (std::string(wanted.status().message()).find("Take auto or mprotect") == std::string::npos) _exit(4);
    if (!MakeGate("auto", os::RealMemory()).ok()) _exit(5);
    if (ProbeGates("auto").fallback.empty()) _exit(6);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace thermocline::profile

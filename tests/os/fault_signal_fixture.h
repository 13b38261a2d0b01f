// What the tests of fault signals share: a process for a body that may die, a page whose touch is a fault of ours, and
// a handler that jumps out. Thread safety: none.
#ifndef THERMOCLINE_TESTS_OS_FAULT_SIGNAL_FIXTURE_H_
#define THERMOCLINE_TESTS_OS_FAULT_SIGNAL_FIXTURE_H_

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "src/os/fault_signal.h"

namespace thermocline::os {

inline constexpr int kKilled = 100;

// Exit status of a process that runs the body; kKilled + the signal when it was killed.
inline int InProcess(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int signum : {SIGSEGV, SIGBUS}) signal(signum, SIG_DFL);  // a sanitizer's handler would exit
    alarm(10);
    _exit(body());
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : kKilled + WTERMSIG(status);
}

// A page that is opened when it is touched, or lost.
class PageHandler : public FaultHandler {
 public:
  explicit PageHandler(FaultOutcome outcome) : outcome_(outcome) {
    page_ = static_cast<char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (!RegisterFaultRange(page_, page_ + 4096, this).ok()) _exit(90);
  }
  FaultOutcome OnFault(char* address, FaultAccess access, const InterruptedCode&) override {
    ++faults;
    last_address = address;
    last_access = access;
    if (outcome_ == FaultOutcome::kResolved) mprotect(page_, 4096, PROT_READ | PROT_WRITE);
    errno = 77;  // must not be seen outside
    return outcome_;
  }
  volatile char* page() const { return page_; }

  int faults = 0;
  char* last_address = nullptr;
  FaultAccess last_access = FaultAccess::kRead;

 private:
  char* page_;
  const FaultOutcome outcome_;
};

inline sigjmp_buf g_jump;
inline volatile sig_atomic_t g_signal = 0;
inline volatile sig_atomic_t g_code = 0;
inline void* volatile g_address = nullptr;

inline void JumpOut(int signum, siginfo_t* info, void*) {
  g_signal = signum;
  g_code = info->si_code;
  g_address = info->si_addr;
  siglongjmp(g_jump, 1);
}

inline void InstallJumpOut(int signum) {
  struct sigaction action = {};
  action.sa_sigaction = JumpOut;
  action.sa_flags = SA_SIGINFO;
  sigaction(signum, &action, nullptr);
}

inline volatile char* const kWild = reinterpret_cast<volatile char*>(0x1000);

}  // namespace thermocline::os

#endif  // THERMOCLINE_TESTS_OS_FAULT_SIGNAL_FIXTURE_H_

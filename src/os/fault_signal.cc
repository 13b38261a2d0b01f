#include "src/os/fault_signal.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "src/os/futex.h"

namespace thermocline::os {
namespace {

constexpr int kMaxRanges = 64;

// Read without a lock by handlers: `handler` is set last and cleared first.
struct Range {
  std::atomic<char*> begin{nullptr};
  std::atomic<char*> end{nullptr};
  std::atomic<FaultHandler*> handler{nullptr};
};

std::array<Range, kMaxRanges> g_ranges;
FutexLock g_lock;  // writers of everything here
std::atomic<bool> g_installed{false};

// The chained actions, for SIGSEGV and SIGBUS, in two copies each: handlers read the one that `current` names, so a
// half-written one is never seen.
struct Chained {
  struct sigaction copies[2] = {};
  std::atomic<int> current{0};
};
Chained g_segv;
Chained g_bus;

Chained& ChainedFor(int signum) { return signum == SIGSEGV ? g_segv : g_bus; }

FaultAccess AccessOf(const void* context) {
#if defined(__x86_64__)
  constexpr int kWriteBit = 2;  // of the page fault's error code
  const auto* uc = static_cast<const ucontext_t*>(context);
  return (uc->uc_mcontext.gregs[REG_ERR] & kWriteBit) != 0 ? FaultAccess::kWrite : FaultAccess::kRead;
#else
  static_cast<void>(context);
  return FaultAccess::kWrite;  // unknown: a write is always right, if less precise
#endif
}

// A jump into a tensor: memory there is never executable, so that no mapping would end the fault.
bool IsInstructionFetch(const void* context) {
#if defined(__x86_64__)
  constexpr int kFetchBit = 16;
  const auto* uc = static_cast<const ucontext_t*>(context);
  return (uc->uc_mcontext.gregs[REG_ERR] & kFetchBit) != 0;
#else
  static_cast<void>(context);
  return false;
#endif
}

// The signal again, for whom it was meant before us.
void Chain(int signum, siginfo_t* info, void* context) {
  const Chained& chained = ChainedFor(signum);
  const struct sigaction action = chained.copies[chained.current.load(std::memory_order_acquire)];
  if ((action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction != nullptr) {
    action.sa_sigaction(signum, info, context);
    return;
  }
  if (action.sa_handler == SIG_IGN && info->si_code <= 0) return;  // sent by kill(); a real fault can't be ignored
  if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
    action.sa_handler(signum);
    return;
  }
  // The default: die by this signal, at the faulting instruction, so that a core dump shows it.
  struct sigaction fallback = {};
  fallback.sa_handler = SIG_DFL;
  sigaction(signum, &fallback, nullptr);
  if (info->si_code <= 0) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signum);
}

void RaiseSigbus(siginfo_t* info, void* context) {
  info->si_signo = SIGBUS;
  info->si_code = BUS_OBJERR;
  Chain(SIGBUS, info, context);
  // With the default action in place, the instruction must not run again: it would fault as SIGSEGV for ever.
  const auto handler = g_bus.copies[g_bus.current.load()].sa_handler;
  if (handler == SIG_DFL || handler == SIG_IGN) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGBUS);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, nullptr, 8);
  }
}

void OnSignal(int signum, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  if (info->si_code > 0 && !IsInstructionFetch(context)) {  // the kernel's, not kill()
    char* const address = static_cast<char*>(info->si_addr);
    for (Range& range : g_ranges) {
      FaultHandler* const handler = range.handler.load(std::memory_order_acquire);
      if (handler == nullptr || address < range.begin.load(std::memory_order_relaxed) ||
          address >= range.end.load(std::memory_order_relaxed)) {
        continue;
      }
      const FaultOutcome outcome = handler->OnFault(address, AccessOf(context));
      if (outcome == FaultOutcome::kDataLost) RaiseSigbus(info, context);
      if (outcome == FaultOutcome::kNotOurs) break;
      errno = saved_errno;
      return;
    }
  }
  Chain(signum, info, context);
  errno = saved_errno;
}

int Install(int signum) {
  struct sigaction action = {};
  action.sa_sigaction = OnSignal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigfillset(&action.sa_mask);
  return sigaction(signum, &action, &ChainedFor(signum).copies[0]) == 0 ? 0 : errno;
}

}  // namespace

absl::Status RegisterFaultRange(char* begin, char* end, FaultHandler* handler) {
  SignalLock lock(g_lock);
  if (!g_installed.load()) {
    for (int signum : {SIGSEGV, SIGBUS}) {
      if (const int error = Install(signum)) {
        return absl::InternalError(absl::StrCat("sigaction(", signum, ") failed: ", strerror(error)));
      }
    }
    g_installed.store(true);
  }
  for (Range& range : g_ranges) {
    if (range.handler.load() != nullptr) continue;
    range.begin.store(begin);
    range.end.store(end);
    range.handler.store(handler, std::memory_order_release);
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError("64 runtimes exist in this process already; destroy one first");
}

void UnregisterFaultRange(FaultHandler* handler) {
  SignalLock lock(g_lock);
  for (Range& range : g_ranges) {
    if (range.handler.load() == handler) range.handler.store(nullptr);
  }
}

int SetChainedAction(int signum, const struct sigaction* action, struct sigaction* old) {
  SignalLock lock(g_lock);
  Chained& chained = ChainedFor(signum);
  const int current = chained.current.load();
  if (old != nullptr) *old = chained.copies[current];
  if (action != nullptr) {
    chained.copies[1 - current] = *action;
    chained.current.store(1 - current, std::memory_order_release);
  }
  return 0;
}

bool FaultSignalsInstalled() { return g_installed.load(); }

}  // namespace thermocline::os

#include "src/os/fault_signal.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

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

// A program's handler that withdraws puts back what it had found in its place: us. Therefore ours comes first again by
// another of these entries each time, and what arrives by an older one goes to whom that one is chained to: nobody is
// asked for the same signal twice. The first is chained to whoever was there before us.
constexpr int kEntries = 8;
constexpr int kProgramsOwn = kEntries;  // in the place of an entry: the program's own handler stands there

// The chained actions, for SIGSEGV and SIGBUS, in two copies each: handlers read the one that `current` names, so a
// half-written one is never seen.
struct ChainedAction {
  struct sigaction Get() const {
    return copies[current.load(std::memory_order_acquire)];
  }
  // REQUIRES: g_lock.
  void Set(const struct sigaction& action) {
    const int other = 1 - current.load();
    copies[other] = action;
    current.store(other, std::memory_order_release);
  }
  struct sigaction copies[2] = {};
  std::atomic<int> current{0};
};
struct Chained {
  std::array<ChainedAction, kEntries> by_entry;
  std::atomic<int> entry{0};  // which came first last
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

constexpr uint64_t BitOf(int signum) { return uint64_t{1} << (signum - 1); }

uint64_t SetMask(uint64_t mask) {
  uint64_t before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof(mask));
  return before;
}

uint64_t MaskOf(const sigset_t& set) {
  uint64_t mask = 0;
  std::memcpy(&mask, &set, sizeof(mask));  // the kernel's part of it
  return mask;
}

// A program's handler may touch a tensor that is away, so SIGSEGV and SIGBUS stay open while it runs. That they count
// as blocked (a fault then kills, as it does without us) is kept in the thread's mask, as two signals that the C
// library keeps for itself: so it ends however the handler ends, by a jump too.
constexpr uint64_t kSegvBlocked = BitOf(32), kBusBlocked = BitOf(33);

uint64_t WithFaultsOpen(uint64_t mask) {
  if ((mask & BitOf(SIGSEGV)) != 0) mask |= kSegvBlocked;
  if ((mask & BitOf(SIGBUS)) != 0) mask |= kBusBlocked;
  return mask & ~BitOf(SIGSEGV) & ~BitOf(SIGBUS);
}

bool CountsAsBlocked(int signum, const void* context) {
  const uint64_t mask = MaskOf(static_cast<const ucontext_t*>(context)->uc_sigmask);
  return (mask & (signum == SIGSEGV ? kSegvBlocked : kBusBlocked)) != 0;
}

// Runs the program's handler with the mask that its sigaction asked for.
void CallHandler(const struct sigaction& action, int signum, siginfo_t* info, void* context) {
  uint64_t mask = MaskOf(static_cast<const ucontext_t*>(context)->uc_sigmask) | MaskOf(action.sa_mask);
  if ((action.sa_flags & SA_NODEFER) == 0) mask |= BitOf(signum);
  const uint64_t ours = SetMask(WithFaultsOpen(mask));
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signum, info, context);
  } else {
    action.sa_handler(signum);
  }
  SetMask(ours);
}

void Reset(int entry, int signum) {
  const struct sigaction none = {};
  if (entry == kProgramsOwn) {
    sigaction(signum, &none, nullptr);
    return;
  }
  LockGuard guard(g_lock);  // all signals are blocked here
  ChainedFor(signum).by_entry[entry].Set(none);
}

// The handler that a thread's last signal was passed on to may pass it back to us, who stood there when it was
// installed: by an older entry, whose turn it then is, or by the same, which would go on for ever. It comes with the
// same context then, from deeper in the stack; a new signal after a jump out comes from no deeper. How deep is told by
// the frame of Enter: those that it calls lie elsewhere by each path, and by each compiler.
struct Passed {
  const void* context;
  const void* frame;
  int signum;
  int entry;
};
__attribute__((tls_model("initial-exec"))) thread_local Passed t_passed = {};

bool ComesBack(int entry, int signum, const void* context, const void* frame) {
  const Passed& last = t_passed;
  const bool same = context == last.context && frame < last.frame && signum == last.signum;
  if (same && entry >= last.entry) return true;
  t_passed = {context, frame, signum, entry};
  return false;
}

// The signal again, for whom it was meant before us: the action, which is chained to the entry. `frame`: Enter's.
void Pass(int entry, const struct sigaction& action, int signum, siginfo_t* info, void* context, const void* frame) {
  if (action.sa_handler == SIG_IGN && info->si_code <= 0) return;  // sent by kill(); a real fault can't be ignored
  const bool handled =
      action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN && !ComesBack(entry, signum, context, frame);
  if (handled && !(info->si_code > 0 && CountsAsBlocked(signum, context))) {
    if ((action.sa_flags & SA_RESETHAND) != 0) Reset(entry, signum);
    CallHandler(action, signum, info, context);
    return;
  }
  // The default: die by this signal, at the faulting instruction, so that a core dump shows it.
  struct sigaction fallback = {};
  fallback.sa_handler = SIG_DFL;
  sigaction(signum, &fallback, nullptr);
  if (info->si_code <= 0) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signum);
}

int EntryOf(const struct sigaction& action);  // or kProgramsOwn

// What a signal would meet now. *entry: by which of ours it would come.
struct sigaction ActionInForce(int signum, int* entry) {
  struct sigaction now = {};
  sigaction(signum, nullptr, &now);
  *entry = EntryOf(now);
  return *entry == kProgramsOwn ? now : ChainedFor(signum).by_entry[*entry].Get();
}

void RaiseSigbus(siginfo_t* info, void* context, const void* frame) {
  info->si_signo = SIGBUS;
  info->si_code = BUS_OBJERR;
  int entry = 0;
  const struct sigaction action = ActionInForce(SIGBUS, &entry);
  Pass(entry, action, SIGBUS, info, context, frame);
  // With the default action in place, the instruction must not run again: it would fault as SIGSEGV for ever.
  const auto handler = ActionInForce(SIGBUS, &entry).sa_handler;
  if (handler == SIG_DFL || handler == SIG_IGN || CountsAsBlocked(SIGBUS, context)) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGBUS);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, nullptr, 8);
  }
}

void OnSignal(int entry, int signum, siginfo_t* info, void* context, const void* frame) {
  const int saved_errno = errno;
  if (info->si_code > 0 && !IsInstructionFetch(context)) {  // the kernel's, not kill()
    char* const address = static_cast<char*>(info->si_addr);
    for (Range& range : g_ranges) {
      FaultHandler* const handler = range.handler.load(std::memory_order_acquire);
      if (handler == nullptr || address < range.begin.load(std::memory_order_relaxed) ||
          address >= range.end.load(std::memory_order_relaxed)) {
        continue;
      }
      const InterruptedCode interrupted(MaskOf(static_cast<const ucontext_t*>(context)->uc_sigmask));
      const FaultOutcome outcome = handler->OnFault(address, AccessOf(context), interrupted);
      if (outcome == FaultOutcome::kDataLost) RaiseSigbus(info, context, frame);
      if (outcome == FaultOutcome::kNotOurs) break;
      errno = saved_errno;
      return;
    }
  }
  Pass(entry, ChainedFor(signum).by_entry[entry].Get(), signum, info, context, frame);
  errno = saved_errno;
}

template <int kEntry>
void Enter(int signum, siginfo_t* info, void* context) {
  OnSignal(kEntry, signum, info, context, __builtin_frame_address(0));
}
template <int... kEach>
constexpr auto MakeEntries(std::integer_sequence<int, kEach...>) {
  return std::array{&Enter<kEach>...};
}
constexpr auto kEnter = MakeEntries(std::make_integer_sequence<int, kEntries>());

int EntryOf(const struct sigaction& action) {
  return static_cast<int>(std::find(kEnter.begin(), kEnter.end(), action.sa_sigaction) - kEnter.begin());
}

int Install(int entry, int signum, struct sigaction* before) {
  struct sigaction action = {};
  action.sa_sigaction = kEnter[entry];
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigfillset(&action.sa_mask);
  return sigaction(signum, &action, before) == 0 ? 0 : errno;
}

// By which entry ours comes first again, in the place of `now`. By the last where that is chained to the same handler
// already. After all of them the second is used again: a handler that found it, seven others ago, may be asked twice.
int NextEntry(const Chained& chained, const struct sigaction& now) {
  const int last = chained.entry.load();
  if (chained.by_entry[last].Get().sa_sigaction == now.sa_sigaction) return last;
  return last + 1 < kEntries ? last + 1 : 1;
}

// REQUIRES: g_lock.
void Reclaim(int signum) {
  Chained& chained = ChainedFor(signum);
  struct sigaction now = {}, replaced = {};
  if (sigaction(signum, nullptr, &now) != 0) return;
  const int found = EntryOf(now);
  const int entry = found != kProgramsOwn ? found : NextEntry(chained, now);
  chained.entry.store(entry);
  if (entry == found && (now.sa_flags & SA_SIGINFO) != 0) return;  // else put back by signal(), which forgets the flags
  if (entry != found) chained.by_entry[entry].Set(now);
  if (Install(entry, signum, &replaced) != 0 || EntryOf(replaced) != kProgramsOwn) return;
  chained.by_entry[entry].Set(replaced);  // another thread's, since the look above
}

}  // namespace

void InterruptedCode::LetDefaultSignalsThrough() const {
  uint64_t pending = 0;
  syscall(SYS_rt_sigpending, &pending, sizeof(pending));
  uint64_t open = 0;
  for (int signum = 1; signum < NSIG; ++signum) {
    if ((pending & ~blocked_ & BitOf(signum)) == 0) continue;
    struct sigaction action = {};
    if (sigaction(signum, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) open |= BitOf(signum);
  }
  // Another thread may give one of them a handler between the look and here, and no system call opens a signal on the
  // condition that it has none. That handler then runs in the middle of the fault, this once. It may jump out, as the
  // caller holds no lock, and may touch what is away, as faults are open with it (those sent by kill() stay pending).
  const uint64_t faults = (BitOf(SIGSEGV) | BitOf(SIGBUS)) & ~pending & ~blocked_;
  if (open != 0) SetMask(SetMask(~(open | faults)));
}

absl::Status RegisterFaultRange(char* begin, char* end, FaultHandler* handler) {
  SignalLock lock(g_lock);
  if (!g_installed.load()) {
    for (int signum : {SIGSEGV, SIGBUS}) {
      if (const int error = Install(0, signum, &ChainedFor(signum).by_entry[0].copies[0])) {
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
  int entry = 0;
  ActionInForce(signum, &entry);
  if (entry == kProgramsOwn) entry = ChainedFor(signum).entry.load();
  ChainedAction& chained = ChainedFor(signum).by_entry[entry];
  if (old != nullptr) *old = chained.Get();
  if (action != nullptr) chained.Set(*action);
  return 0;
}

void ReclaimFaultSignals() {
  if (!g_installed.load()) return;
  {
    SignalLock lock(g_lock);
    for (const int signum : {SIGSEGV, SIGBUS}) Reclaim(signum);
  }
  uint64_t faults = BitOf(SIGSEGV) | BitOf(SIGBUS);
  syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &faults, nullptr, sizeof(faults));
}

// Whatever was half done is as good as not begun: what handlers read changes in one store.
void ResetFaultSignalsAfterFork() { g_lock.ResetAfterFork(); }

bool FaultSignalsInstalled() { return g_installed.load(); }

}  // namespace thermocline::os

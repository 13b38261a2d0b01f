// sigaction, signal and signal masks, in front of the C library's: the runtime's handler of SIGSEGV and SIGBUS is
// neither displaced nor blocked, and the program still sees what it set. As long as no handler is there to be kept, and
// nothing is watched, the calls go straight through.
//
// sigwait and its like need nothing: they take pending signals, and a fault is never pending. Nor do siginterrupt,
// which leaves the handler, and X/Open's sigpause, which waits with what the thread blocks already.

// Under this name <signal.h> declares X/Open's function, not the one that the C library has under it, BSD's.
#define sigpause sigpause_of_xopen
#include <signal.h>
#undef sigpause

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "src/adapters/calls/calls.h"
#include "src/adapters/calls/real_calls.h"
#include "src/os/fault_signal.h"

namespace thermocline::calls {
namespace {

// What this thread believes to have blocked, of the two that are never blocked.
enum : unsigned char { kSegv = 1, kBus = 2 };
THERMOCLINE_CALLS_THREAD_LOCAL unsigned char t_believed = 0;

bool IsFault(int signum) { return signum == SIGSEGV || signum == SIGBUS; }

unsigned char FaultsIn(const sigset_t* set) {
  return static_cast<unsigned char>((sigismember(set, SIGSEGV) == 1 ? kSegv : 0) |
                                    (sigismember(set, SIGBUS) == 1 ? kBus : 0));
}

// The mask without the faults. nullptr stays nullptr.
class Mask {
 public:
  explicit Mask(const sigset_t* asked) {
    if (asked == nullptr) return;
    set_ = *asked;
    sigdelset(&set_, SIGSEGV);
    sigdelset(&set_, SIGBUS);
    given_ = &set_;
  }
  Mask(const Mask&) = delete;
  Mask& operator=(const Mask&) = delete;
  const sigset_t* get() const { return given_; }

 private:
  sigset_t set_;
  const sigset_t* given_ = nullptr;
};

void Remember(int how, const sigset_t* asked, sigset_t* old) {
  const unsigned char before = t_believed;
  if (asked != nullptr) {
    const unsigned char faults = FaultsIn(asked);
    if (how == SIG_BLOCK) t_believed |= faults;
    if (how == SIG_UNBLOCK) t_believed &= static_cast<unsigned char>(~faults);
    if (how == SIG_SETMASK) t_believed = faults;
  }
  if (old == nullptr) return;
  if ((before & kSegv) != 0) sigaddset(old, SIGSEGV);
  if ((before & kBus) != 0) sigaddset(old, SIGBUS);
}

// `asked` may be the same object as `old`.
int SetMask(int (*real)(int, const sigset_t*, sigset_t*), int how, const sigset_t* asked, sigset_t* old) {
  const sigset_t copy = asked != nullptr ? *asked : sigset_t{};
  const Mask mask(asked != nullptr ? &copy : nullptr);
  // What was blocked before signals were watched may be unblocked.
  const int result = real(how, how == SIG_UNBLOCK && asked != nullptr ? &copy : mask.get(), old);
  if (result == 0) Remember(how, asked != nullptr ? &copy : nullptr, old);
  return result;
}

int SetAction(int signum, const struct sigaction* action, struct sigaction* old) {
  if (!IsWatching()) return Real().sigaction(signum, action, old);
  struct sigaction ours;
  if (action != nullptr) {
    ours = *action;  // a handler may touch a tensor: the fault must get through while it runs
    sigdelset(&ours.sa_mask, SIGSEGV);
    sigdelset(&ours.sa_mask, SIGBUS);
    action = &ours;
  }
  if (!IsFault(signum) || !os::FaultSignalsInstalled()) return Real().sigaction(signum, action, old);
  const int error = os::SetChainedAction(signum, action, old);
  if (error == 0) return 0;
  errno = error;
  return -1;
}

// `real`: for all that is not about faults, with `flags` as it does it itself.
sighandler_t SetHandler(sighandler_t (*real)(int, sighandler_t), int signum, sighandler_t handler, int flags) {
  if (!IsFault(signum) || !IsWatching() || handler == SIG_ERR) return real(signum, handler);
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  struct sigaction old = {};
  return SetAction(signum, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

// System V's calls, which name one signal.
int SetOne(int how, int signum, sigset_t* old = nullptr) {
  sigset_t set;
  if (sigemptyset(&set) != 0 || sigaddset(&set, signum) != 0) return -1;
  return SetMask(Real().sigprocmask, how, &set, old);
}

// sigset: the handler is set and the signal opened, or only blocked. Returns what was before.
sighandler_t SetHandlerOrHold(int signum, sighandler_t handler) {
  if (!IsFault(signum) || !IsWatching() || handler == SIG_ERR) return Real().sigset(signum, handler);
  const bool hold = handler == SIG_HOLD;
  struct sigaction action = {};
  action.sa_handler = handler;
  struct sigaction old = {};
  if (SetAction(signum, hold ? nullptr : &action, &old) != 0) return SIG_ERR;
  sigset_t blocked;
  if (SetOne(hold ? SIG_BLOCK : SIG_UNBLOCK, signum, &blocked) != 0) return SIG_ERR;
  return sigismember(&blocked, signum) == 1 ? SIG_HOLD : old.sa_handler;
}

// BSD's calls, whose mask is a bit for each of the first signals. 32 is the C library's own.
constexpr int kSignalsInBits = 31;
constexpr unsigned BitOf(int signum) { return 1u << (signum - 1); }

int SetBits(int how, int bits) {
  sigset_t asked, old;
  sigemptyset(&asked);
  for (int signum = 1; signum <= kSignalsInBits; ++signum) {
    if ((static_cast<unsigned>(bits) & BitOf(signum)) != 0) sigaddset(&asked, signum);
  }
  if (SetMask(Real().sigprocmask, how, &asked, &old) != 0) return -1;
  unsigned before = 0;
  for (int signum = 1; signum <= kSignalsInBits; ++signum) {
    if (sigismember(&old, signum) == 1) before |= BitOf(signum);
  }
  return static_cast<int>(before);
}

int BitsWithoutFaults(int bits) {
  return static_cast<int>(static_cast<unsigned>(bits) & ~(BitOf(SIGSEGV) | BitOf(SIGBUS)));
}

}  // namespace
}  // namespace thermocline::calls

namespace calls = thermocline::calls;
using calls::IsWatching;
using calls::Real;

THERMOCLINE_INTERPOSED int sigaction(int signum, const struct sigaction* action, struct sigaction* old) {
  return THERMOCLINE_FROM_RUNTIME ? Real().sigaction(signum, action, old) : calls::SetAction(signum, action, old);
}
THERMOCLINE_INTERPOSED sighandler_t signal(int signum, sighandler_t handler) {
  return calls::SetHandler(Real().signal, signum, handler, SA_RESTART);
}
THERMOCLINE_INTERPOSED sighandler_t bsd_signal(int signum, sighandler_t handler) {
  return calls::SetHandler(Real().signal, signum, handler, SA_RESTART);
}
THERMOCLINE_INTERPOSED sighandler_t ssignal(int signum, sighandler_t handler) {
  return calls::SetHandler(Real().signal, signum, handler, SA_RESTART);
}
// What `signal` is called in a program that is compiled as strict C.
THERMOCLINE_INTERPOSED sighandler_t __sysv_signal(int signum, sighandler_t handler) {
  return calls::SetHandler(Real().__sysv_signal, signum, handler, SA_RESETHAND | SA_NODEFER);
}
THERMOCLINE_INTERPOSED sighandler_t sysv_signal(int signum, sighandler_t handler) {
  return calls::SetHandler(Real().__sysv_signal, signum, handler, SA_RESETHAND | SA_NODEFER);
}
THERMOCLINE_INTERPOSED sighandler_t sigset(int signum, sighandler_t handler) {
  return calls::SetHandlerOrHold(signum, handler);
}
THERMOCLINE_INTERPOSED int sigignore(int signum) {
  if (!calls::IsFault(signum) || !IsWatching()) return Real().sigignore(signum);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  return calls::SetAction(signum, &ignore, nullptr);
}

THERMOCLINE_INTERPOSED int sigprocmask(int how, const sigset_t* asked, sigset_t* old) {
  if (!IsWatching() || THERMOCLINE_FROM_RUNTIME) return Real().sigprocmask(how, asked, old);
  return calls::SetMask(Real().sigprocmask, how, asked, old);
}
THERMOCLINE_INTERPOSED int pthread_sigmask(int how, const sigset_t* asked, sigset_t* old) {
  if (!IsWatching() || THERMOCLINE_FROM_RUNTIME) return Real().pthread_sigmask(how, asked, old);
  return calls::SetMask(Real().pthread_sigmask, how, asked, old);
}
THERMOCLINE_INTERPOSED int sighold(int signum) {
  return IsWatching() ? calls::SetOne(SIG_BLOCK, signum) : Real().sighold(signum);
}
THERMOCLINE_INTERPOSED int sigrelse(int signum) {
  return IsWatching() ? calls::SetOne(SIG_UNBLOCK, signum) : Real().sigrelse(signum);
}
THERMOCLINE_INTERPOSED int sigblock(int bits) {
  return IsWatching() ? calls::SetBits(SIG_BLOCK, bits) : Real().sigblock(bits);
}
THERMOCLINE_INTERPOSED int sigsetmask(int bits) {
  return IsWatching() ? calls::SetBits(SIG_SETMASK, bits) : Real().sigsetmask(bits);
}
THERMOCLINE_INTERPOSED int siggetmask() { return IsWatching() ? calls::SetBits(SIG_BLOCK, 0) : Real().siggetmask(); }
// Of a thread that is to come. It reads back without the faults, here and there.
THERMOCLINE_INTERPOSED int pthread_attr_setsigmask_np(pthread_attr_t* attributes, const sigset_t* mask) {
  return Real().pthread_attr_setsigmask_np(attributes, IsWatching() ? calls::Mask(mask).get() : mask);
}

THERMOCLINE_INTERPOSED int sigsuspend(const sigset_t* mask) {
  return IsWatching() ? Real().sigsuspend(calls::Mask(mask).get()) : Real().sigsuspend(mask);
}
THERMOCLINE_INTERPOSED int sigpause(int bits) {
  return Real().sigpause(IsWatching() ? calls::BitsWithoutFaults(bits) : bits);
}
THERMOCLINE_INTERPOSED int __sigpause(int signum_or_bits, int is_signum) {
  const bool bits = IsWatching() && is_signum == 0;
  return Real().__sigpause(bits ? calls::BitsWithoutFaults(signum_or_bits) : signum_or_bits, is_signum);
}
THERMOCLINE_INTERPOSED int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  return Real().ppoll(fds, count, timeout, IsWatching() ? calls::Mask(mask).get() : mask);
}
THERMOCLINE_INTERPOSED int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask,
                                       size_t room) {
  return Real().__ppoll_chk(fds, count, timeout, IsWatching() ? calls::Mask(mask).get() : mask, room);
}
THERMOCLINE_INTERPOSED int pselect(int count, fd_set* reads, fd_set* writes, fd_set* exceptions,
                                   const timespec* timeout, const sigset_t* mask) {
  return Real().pselect(count, reads, writes, exceptions, timeout, IsWatching() ? calls::Mask(mask).get() : mask);
}
THERMOCLINE_INTERPOSED int epoll_pwait(int fd, struct epoll_event* events, int count, int timeout,
                                       const sigset_t* mask) {
  return Real().epoll_pwait(fd, events, count, timeout, IsWatching() ? calls::Mask(mask).get() : mask);
}
THERMOCLINE_INTERPOSED int epoll_pwait2(int fd, struct epoll_event* events, int count, const timespec* timeout,
                                        const sigset_t* mask) {
  return Real().epoll_pwait2(fd, events, count, timeout, IsWatching() ? calls::Mask(mask).get() : mask);
}

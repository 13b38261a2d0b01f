// sigaction, signal and signal masks, in front of the C library's: the runtime's handler of SIGSEGV and SIGBUS is
// neither displaced nor blocked, and the program still sees what it set.
//
// sigwait and its like need nothing: they take pending signals, and a fault is never pending.

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "src/adapters/preload/placement.h"
#include "src/adapters/preload/real_calls.h"
#include "src/os/fault_signal.h"

#define THERMOCLINE_INTERPOSED extern "C" __attribute__((visibility("default")))
#define THERMOCLINE_FROM_RUNTIME thermocline::preload::IsOwnCode(__builtin_return_address(0))

namespace thermocline::preload {
namespace {

// What this thread believes to have blocked, of the two that are never blocked.
enum : unsigned char { kSegv = 1, kBus = 2 };
THERMOCLINE_PRELOAD_THREAD_LOCAL unsigned char t_believed = 0;

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
  // Unblocking may do no harm.
  const int result = real(how, mask.get(), old);
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

}  // namespace
}  // namespace thermocline::preload

namespace preload = thermocline::preload;
using preload::IsWatching;
using preload::Real;

THERMOCLINE_INTERPOSED int sigaction(int signum, const struct sigaction* action, struct sigaction* old) {
  return THERMOCLINE_FROM_RUNTIME ? Real().sigaction(signum, action, old) : preload::SetAction(signum, action, old);
}
THERMOCLINE_INTERPOSED sighandler_t signal(int signum, sighandler_t handler) {
  if (handler == SIG_ERR) {
    errno = EINVAL;
    return SIG_ERR;
  }
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaddset(&action.sa_mask, signum);  // as the C library does; it also checks the number
  struct sigaction old = {};
  return preload::SetAction(signum, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}
THERMOCLINE_INTERPOSED sighandler_t bsd_signal(int signum, sighandler_t handler) { return signal(signum, handler); }

THERMOCLINE_INTERPOSED int sigprocmask(int how, const sigset_t* asked, sigset_t* old) {
  if (!IsWatching() || THERMOCLINE_FROM_RUNTIME) return Real().sigprocmask(how, asked, old);
  return preload::SetMask(Real().sigprocmask, how, asked, old);
}
THERMOCLINE_INTERPOSED int pthread_sigmask(int how, const sigset_t* asked, sigset_t* old) {
  if (!IsWatching() || THERMOCLINE_FROM_RUNTIME) return Real().pthread_sigmask(how, asked, old);
  return preload::SetMask(Real().pthread_sigmask, how, asked, old);
}
THERMOCLINE_INTERPOSED int sigsuspend(const sigset_t* mask) {
  return IsWatching() ? Real().sigsuspend(preload::Mask(mask).get()) : Real().sigsuspend(mask);
}
THERMOCLINE_INTERPOSED int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  return Real().ppoll(fds, count, timeout, IsWatching() ? preload::Mask(mask).get() : mask);
}
THERMOCLINE_INTERPOSED int pselect(int count, fd_set* reads, fd_set* writes, fd_set* exceptions,
                                   const timespec* timeout, const sigset_t* mask) {
  return Real().pselect(count, reads, writes, exceptions, timeout, IsWatching() ? preload::Mask(mask).get() : mask);
}
THERMOCLINE_INTERPOSED int epoll_pwait(int fd, struct epoll_event* events, int count, int timeout,
                                       const sigset_t* mask) {
  return Real().epoll_pwait(fd, events, count, timeout, IsWatching() ? preload::Mask(mask).get() : mask);
}

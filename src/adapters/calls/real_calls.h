// RealCalls: the functions that calls/ stands in front of, as the next library in the search order has them.
//
// Thread safety: any thread, also before any constructor has run; signal handlers once this library's has.
// Errors: a function that no library has is nullptr; every libc that Thermocline runs on has all of them.
#ifndef THERMOCLINE_ADAPTERS_CALLS_REAL_CALLS_H_
#define THERMOCLINE_ADAPTERS_CALLS_REAL_CALLS_H_

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace thermocline::calls {

// name, result, parameters. 64-bit files throughout: read and its like take off64_t where they take an offset.
#define THERMOCLINE_REAL_CALLS(X)                                                      \
  X(read, ssize_t, (int, void*, size_t))                                               \
  X(write, ssize_t, (int, const void*, size_t))                                        \
  X(pread64, ssize_t, (int, void*, size_t, off64_t))                                   \
  X(pwrite64, ssize_t, (int, const void*, size_t, off64_t))                            \
  X(readv, ssize_t, (int, const iovec*, int))                                          \
  X(writev, ssize_t, (int, const iovec*, int))                                         \
  X(preadv64, ssize_t, (int, const iovec*, int, off64_t))                              \
  X(pwritev64, ssize_t, (int, const iovec*, int, off64_t))                             \
  X(preadv64v2, ssize_t, (int, const iovec*, int, off64_t, int))                       \
  X(pwritev64v2, ssize_t, (int, const iovec*, int, off64_t, int))                      \
  X(__read_chk, ssize_t, (int, void*, size_t, size_t))                                 \
  X(__pread64_chk, ssize_t, (int, void*, size_t, off64_t, size_t))                     \
  X(__recv_chk, ssize_t, (int, void*, size_t, size_t, int))                            \
  X(__recvfrom_chk, ssize_t, (int, void*, size_t, size_t, int, sockaddr*, socklen_t*)) \
  X(__fread_chk, size_t, (void*, size_t, size_t, size_t, FILE*))                       \
  X(__fread_unlocked_chk, size_t, (void*, size_t, size_t, size_t, FILE*))              \
  X(recv, ssize_t, (int, void*, size_t, int))                                          \
  X(recvfrom, ssize_t, (int, void*, size_t, int, sockaddr*, socklen_t*))               \
  X(recvmsg, ssize_t, (int, msghdr*, int))                                             \
  X(recvmmsg, int, (int, mmsghdr*, unsigned, int, timespec*))                          \
  X(send, ssize_t, (int, const void*, size_t, int))                                    \
  X(sendto, ssize_t, (int, const void*, size_t, int, const sockaddr*, socklen_t))      \
  X(sendmsg, ssize_t, (int, const msghdr*, int))                                       \
  X(sendmmsg, int, (int, mmsghdr*, unsigned, int))                                     \
  X(getrandom, ssize_t, (void*, size_t, unsigned))                                     \
  X(getentropy, int, (void*, size_t))                                                  \
  X(fread, size_t, (void*, size_t, size_t, FILE*))                                     \
  X(fread_unlocked, size_t, (void*, size_t, size_t, FILE*))                            \
  X(fwrite, size_t, (const void*, size_t, size_t, FILE*))                              \
  X(fwrite_unlocked, size_t, (const void*, size_t, size_t, FILE*))                     \
  X(setvbuf, int, (FILE*, char*, int, size_t))                                         \
  X(sigaction, int, (int, const struct sigaction*, struct sigaction*))                 \
  X(signal, sighandler_t, (int, sighandler_t))                                         \
  X(__sysv_signal, sighandler_t, (int, sighandler_t))                                  \
  X(sigprocmask, int, (int, const sigset_t*, sigset_t*))                               \
  X(pthread_sigmask, int, (int, const sigset_t*, sigset_t*))                           \
  X(sigset, sighandler_t, (int, sighandler_t))                                         \
  X(sigignore, int, (int))                                                             \
  X(sighold, int, (int))                                                               \
  X(sigrelse, int, (int))                                                              \
  X(sigblock, int, (int))                                                              \
  X(sigsetmask, int, (int))                                                            \
  X(siggetmask, int, ())                                                               \
  X(pthread_attr_setsigmask_np, int, (pthread_attr_t*, const sigset_t*))               \
  X(sigsuspend, int, (const sigset_t*))                                                \
  X(sigpause, int, (int))                                                              \
  X(__sigpause, int, (int, int))                                                       \
  X(ppoll, int, (pollfd*, nfds_t, const timespec*, const sigset_t*))                   \
  X(__ppoll_chk, int, (pollfd*, nfds_t, const timespec*, const sigset_t*, size_t))     \
  X(pselect, int, (int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*))  \
  X(epoll_pwait, int, (int, struct epoll_event*, int, int, const sigset_t*))           \
  X(epoll_pwait2, int, (int, struct epoll_event*, int, const timespec*, const sigset_t*))

struct RealCalls {
// NOLINTNEXTLINE(bugprone-macro-parentheses): types and parameter lists, not expressions
#define THERMOCLINE_DECLARE(name, result, parameters) result(*name) parameters = nullptr;
  THERMOCLINE_REAL_CALLS(THERMOCLINE_DECLARE)
#undef THERMOCLINE_DECLARE
};

// Looks them up on the first call.
const RealCalls& Real();

}  // namespace thermocline::calls

#endif  // THERMOCLINE_ADAPTERS_CALLS_REAL_CALLS_H_

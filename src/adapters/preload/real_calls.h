// RealCalls: the functions that this library stands in front of, as the next library in the search order has them.
//
// Thread safety: any thread, from the first instruction of the process on (the dynamic loader calls malloc before any
// constructor runs), and from signal handlers once the library's constructor has run.
// Errors: a function that no library has is nullptr; every libc that Thermocline runs on has all but the newest.
#ifndef THERMOCLINE_ADAPTERS_PRELOAD_REAL_CALLS_H_
#define THERMOCLINE_ADAPTERS_PRELOAD_REAL_CALLS_H_

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace thermocline::preload {

// name, result, parameters. 64-bit files throughout: read and its like take off64_t where they take an offset.
#define THERMOCLINE_REAL_CALLS(X)                                                            \
  X(malloc, void*, (size_t))                                                                 \
  X(calloc, void*, (size_t, size_t))                                                         \
  X(realloc, void*, (void*, size_t))                                                         \
  X(free, void, (void*))                                                                     \
  X(posix_memalign, int, (void**, size_t, size_t))                                           \
  X(aligned_alloc, void*, (size_t, size_t))                                                  \
  X(memalign, void*, (size_t, size_t))                                                       \
  X(malloc_usable_size, size_t, (void*))                                                     \
  X(read, ssize_t, (int, void*, size_t))                                                     \
  X(write, ssize_t, (int, const void*, size_t))                                              \
  X(pread64, ssize_t, (int, void*, size_t, off64_t))                                         \
  X(pwrite64, ssize_t, (int, const void*, size_t, off64_t))                                  \
  X(readv, ssize_t, (int, const iovec*, int))                                                \
  X(writev, ssize_t, (int, const iovec*, int))                                               \
  X(preadv64, ssize_t, (int, const iovec*, int, off64_t))                                    \
  X(pwritev64, ssize_t, (int, const iovec*, int, off64_t))                                   \
  X(preadv64v2, ssize_t, (int, const iovec*, int, off64_t, int))                             \
  X(pwritev64v2, ssize_t, (int, const iovec*, int, off64_t, int))                            \
  X(__read_chk, ssize_t, (int, void*, size_t, size_t))                                       \
  X(__pread64_chk, ssize_t, (int, void*, size_t, off64_t, size_t))                           \
  X(__recv_chk, ssize_t, (int, void*, size_t, size_t, int))                                  \
  X(__recvfrom_chk, ssize_t, (int, void*, size_t, size_t, int, sockaddr*, socklen_t*))       \
  X(__fread_chk, size_t, (void*, size_t, size_t, size_t, FILE*))                             \
  X(__fread_unlocked_chk, size_t, (void*, size_t, size_t, size_t, FILE*))                    \
  X(recv, ssize_t, (int, void*, size_t, int))                                                \
  X(recvfrom, ssize_t, (int, void*, size_t, int, sockaddr*, socklen_t*))                     \
  X(recvmsg, ssize_t, (int, msghdr*, int))                                                   \
  X(recvmmsg, int, (int, mmsghdr*, unsigned, int, timespec*))                                \
  X(send, ssize_t, (int, const void*, size_t, int))                                          \
  X(sendto, ssize_t, (int, const void*, size_t, int, const sockaddr*, socklen_t))            \
  X(sendmsg, ssize_t, (int, const msghdr*, int))                                             \
  X(sendmmsg, int, (int, mmsghdr*, unsigned, int))                                           \
  X(getrandom, ssize_t, (void*, size_t, unsigned))                                           \
  X(getentropy, int, (void*, size_t))                                                        \
  X(fread, size_t, (void*, size_t, size_t, FILE*))                                           \
  X(fread_unlocked, size_t, (void*, size_t, size_t, FILE*))                                  \
  X(fwrite, size_t, (const void*, size_t, size_t, FILE*))                                    \
  X(fwrite_unlocked, size_t, (const void*, size_t, size_t, FILE*))                           \
  X(setvbuf, int, (FILE*, char*, int, size_t))                                               \
  X(sigaction, int, (int, const struct sigaction*, struct sigaction*))                       \
  X(sigprocmask, int, (int, const sigset_t*, sigset_t*))                                     \
  X(pthread_sigmask, int, (int, const sigset_t*, sigset_t*))                                 \
  X(sigsuspend, int, (const sigset_t*))                                                      \
  X(ppoll, int, (pollfd*, nfds_t, const timespec*, const sigset_t*))                         \
  X(pselect, int, (int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*))        \
  X(epoll_pwait, int, (int, struct epoll_event*, int, int, const sigset_t*))                 \
  X(madvise, int, (void*, size_t, int))                                                      \
  X(posix_madvise, int, (void*, size_t, int))                                                \
  X(mprotect, int, (void*, size_t, int))                                                     \
  X(mlock, int, (const void*, size_t))                                                       \
  X(munlock, int, (const void*, size_t))                                                     \
  X(pthread_attr_setstack, int, (pthread_attr_t*, void*, size_t))

struct RealCalls {
// NOLINTNEXTLINE(bugprone-macro-parentheses): types and parameter lists, not expressions
#define THERMOCLINE_DECLARE(name, result, parameters) result(*name) parameters = nullptr;
  THERMOCLINE_REAL_CALLS(THERMOCLINE_DECLARE)
#undef THERMOCLINE_DECLARE
};

// Looks them up on the first call. While that is under way, `malloc` and its like serve the lookup itself from a small
// static block.
const RealCalls& Real();

// True for a pointer into that static block, which is never freed.
bool IsBootstrapPointer(const void* pointer);

}  // namespace thermocline::preload

#endif  // THERMOCLINE_ADAPTERS_PRELOAD_REAL_CALLS_H_

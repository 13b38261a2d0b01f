/* Each call that sets a mask: SIGSEGV is blocked through it, and memory that is away is touched all the same. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include "tests/adapters/calls/scenario.h"

/* Most of them are old, and said to be. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* What the headers don't declare: BSD's sigpause (they have X/Open's under its name), and what programs are linked with
 * that are compiled with checks. */
int SigpauseOfBsd(int bits) __asm__("sigpause");
int __sigpause(int signum_or_bits, int is_signum);
int __ppoll_chk(struct pollfd* fds, nfds_t count, const struct timespec* timeout, const sigset_t* mask, size_t room);

static char* g_memory;
static volatile sig_atomic_t g_handled;

static void MakeMemory(void) {
  g_memory = malloc(MIB);
  Fill(g_memory, MIB, 8);
}

static int Bit(int signum) { return (int)(1u << (signum - 1)); }

static int IsBlocked(int signum) {
  sigset_t now;
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
  return sigismember(&now, signum);
}

static void SetFaults(int how) {
  sigset_t faults;
  sigemptyset(&faults);
  sigaddset(&faults, SIGSEGV);
  sigaddset(&faults, SIGUSR2);
  CHECK(sigprocmask(how, &faults, NULL) == 0);
}
static void Sigprocmask(void) { SetFaults(SIG_BLOCK); }
static void SigprocmaskBack(void) { SetFaults(SIG_UNBLOCK); }

/* The old ones say what was blocked before. */
static void Sigblock(void) {
  CHECK((sigblock(Bit(SIGSEGV) | Bit(SIGUSR2)) & (Bit(SIGSEGV) | Bit(SIGUSR2))) == 0);
  CHECK((sigblock(0) & (Bit(SIGSEGV) | Bit(SIGUSR2))) == (Bit(SIGSEGV) | Bit(SIGUSR2)));
}
/* Looked up as a program that is linked with it has it: the linker says of each call that it is obsolete. */
static int Siggetmask(void) {
  int (*siggetmask)(void) = NULL;
  *(void**)&siggetmask = dlsym(RTLD_DEFAULT, "siggetmask");
  CHECK(siggetmask != NULL);
  return siggetmask();
}
static void Sigsetmask(void) {
  CHECK((sigsetmask(-1) & Bit(SIGSEGV)) == 0);
  CHECK((Siggetmask() & Bit(SIGSEGV)) != 0 && (Siggetmask() & Bit(SIGUSR2)) != 0);
}
static void SigsetmaskBack(void) { CHECK((sigsetmask(0) & Bit(SIGSEGV)) != 0 && Siggetmask() == 0); }
static void Sighold(void) { CHECK(sighold(SIGSEGV) == 0 && sighold(SIGUSR2) == 0); }
static void Sigrelse(void) { CHECK(sigrelse(SIGSEGV) == 0 && sigrelse(SIGUSR2) == 0); }
static void Sigset(void) {
  CHECK(sigset(SIGSEGV, SIG_HOLD) == SIG_DFL && sigset(SIGSEGV, SIG_HOLD) == SIG_HOLD);
  CHECK(sigset(SIGUSR2, SIG_HOLD) == SIG_DFL);
}
static void SigsetBack(void) {
  CHECK(sigset(SIGSEGV, SIG_DFL) == SIG_HOLD && sigset(SIGSEGV, SIG_DFL) == SIG_DFL);
  CHECK(sigset(SIGUSR2, SIG_DFL) == SIG_HOLD);
}

void MaskCalls(void) {
  static const struct {
    const char* name;
    void (*block)(void);
    void (*unblock)(void);
  } kCalls[] = {
      {"sigprocmask", Sigprocmask, SigprocmaskBack},
      {"sigblock", Sigblock, SigsetmaskBack},
      {"sigsetmask", Sigsetmask, SigsetmaskBack},
      {"sighold", Sighold, Sigrelse},
      {"sigset", Sigset, SigsetBack},
  };
  MakeMemory();
  for (size_t i = 0; i < sizeof(kCalls) / sizeof(kCalls[0]); ++i) {
    Case(kCalls[i].name);
    kCalls[i].block();
    CHECK(IsBlocked(SIGSEGV) && IsBlocked(SIGUSR2)); /* the program reads back what it set */
    EvictEverything();
    CHECK(Matches(g_memory, MIB, 8));
    kCalls[i].unblock();
    CHECK(!IsBlocked(SIGSEGV) && !IsBlocked(SIGUSR2));
    EvictEverything();
    CHECK(Matches(g_memory, MIB, 8));
  }
  errno = 0;
  CHECK(sighold(12345) == -1 && errno == EINVAL);
  errno = 0;
  CHECK(sigrelse(0) == -1 && errno == EINVAL);
}

static int Ppoll(const sigset_t* mask) { return ppoll(NULL, 0, NULL, mask); }
static int PpollChk(const sigset_t* mask) { return __ppoll_chk(NULL, 0, NULL, mask, 0); }
static int Pselect(const sigset_t* mask) { return pselect(0, NULL, NULL, NULL, NULL, mask); }
static int EpollPwait(const sigset_t* mask) {
  struct epoll_event event;
  return epoll_pwait(epoll_create1(0), &event, 1, -1, mask);
}
static int EpollPwait2(const sigset_t* mask) {
  struct epoll_event event;
  return epoll_pwait2(epoll_create1(0), &event, 1, NULL, mask);
}
/* All but SIGUSR1, as the mask that the others are given. */
static int BsdPause(const sigset_t* mask) {
  (void)mask;
  return SigpauseOfBsd(~Bit(SIGUSR1));
}
static int BsdPauseInside(const sigset_t* mask) {
  (void)mask;
  return __sigpause(~Bit(SIGUSR1), 0);
}
static int XopenPause(const sigset_t* mask) {
  (void)mask;
  return sigpause(SIGUSR1);
}

static void TouchMemory(int signum) {
  (void)signum;
  CHECK(Matches(g_memory, MIB, 8));
  ++g_handled;
}

/* A handler that runs out of a wait has the wait's mask, with everything blocked in it here. */
void WaitCalls(void) {
  static const struct {
    const char* name;
    int (*wait)(const sigset_t* mask);
  } kCalls[] = {
      {"sigsuspend", sigsuspend},     {"ppoll", Ppoll},
      {"__ppoll_chk", PpollChk},      {"pselect", Pselect},
      {"epoll_pwait", EpollPwait},    {"epoll_pwait2", EpollPwait2},
      {"sigpause", BsdPause},         {"__sigpause", BsdPauseInside},
      {"__xpg_sigpause", XopenPause},
  };
  MakeMemory();
  const struct sigaction action = {.sa_handler = TouchMemory};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  sigset_t waiting;
  sigfillset(&waiting);
  CHECK(sigprocmask(SIG_SETMASK, &waiting, NULL) == 0);
  sigdelset(&waiting, SIGUSR1);
  for (size_t i = 0; i < sizeof(kCalls) / sizeof(kCalls[0]); ++i) {
    Case(kCalls[i].name);
    g_handled = 0;
    EvictEverything();
    CHECK(kill(getpid(), SIGUSR1) == 0);
    CHECK(kCalls[i].wait(&waiting) == -1 && errno == EINTR);
    CHECK(g_handled == 1);
    CHECK(IsBlocked(SIGSEGV) && IsBlocked(SIGUSR1)); /* as before the wait */
  }
}

static void* TouchWithEverythingBlocked(void* argument) {
  (void)argument;
  CHECK(IsBlocked(SIGUSR1) && IsBlocked(SIGUSR2));
  EvictEverything();
  CHECK(Matches(g_memory, MIB, 8));
  return NULL;
}

void MaskOfAThreadToCome(void) {
  MakeMemory();
  EvictEverything();
  sigset_t all;
  sigfillset(&all);
  pthread_attr_t attributes;
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setsigmask_np(&attributes, &all) == 0);
  CHECK(pthread_create(&thread, &attributes, TouchWithEverythingBlocked, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(pthread_attr_setsigmask_np(&attributes, NULL) == 0); /* none any more: the thread's that starts it */
  CHECK(pthread_attr_getsigmask_np(&attributes, &all) == PTHREAD_ATTR_NO_SIGMASK_NP);
  CHECK(pthread_attr_destroy(&attributes) == 0);
}

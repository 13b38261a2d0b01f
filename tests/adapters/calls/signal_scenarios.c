#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/adapters/calls/scenario.h"

/* Under the newer standards the headers no longer have it. */
sighandler_t bsd_signal(int signum, sighandler_t handler);
/* Others are old, and said to be. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static sigjmp_buf g_back;
static volatile sig_atomic_t g_handled;
static void* volatile g_address;
static char* g_memory;

static void OnFault(int signum, siginfo_t* info, void* context) {
  (void)signum;
  (void)context;
  ++g_handled;
  g_address = info->si_addr;
  siglongjmp(g_back, 1);
}

static void Install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = OnFault;
  action.sa_flags = SA_SIGINFO;
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
}

static void FaultTwice(void) {
  char* wild = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (volatile int round = 1; round <= 2; ++round) {
    if (sigsetjmp(g_back, 1) == 0) {
      *(volatile char*)(wild + 5) = 1;
      CHECK(!"reached");
    }
    CHECK(g_handled == round);
    CHECK(g_address == wild + 5);
    /* And the runtime's handler still has its turn first. */
    EvictEverything();
    CHECK(Matches(g_memory, MIB, 8));
  }
  CHECK(g_handled == 2);
}

static void MakeMemory(void) {
  g_memory = malloc(MIB);
  Fill(g_memory, MIB, 8);
}

void HandlerBefore(void) {
  Install();
  MakeMemory();
  FaultTwice();
}

void HandlerAfter(void) {
  MakeMemory();
  Install();
  FaultTwice();
}

static void OnFaultOld(int signum) {
  (void)signum;
  ++g_handled;
  siglongjmp(g_back, 1);
}

/* Each call that sets a handler but sigaction. `once`: for one fault, as strict C has it. */
static const struct {
  const char* name;
  sighandler_t (*set)(int signum, sighandler_t handler);
  int once;
} kSetters[] = {
    {"signal", signal, 0}, {"bsd_signal", bsd_signal, 0},   {"ssignal", ssignal, 0},
    {"sigset", sigset, 0}, {"sysv_signal", sysv_signal, 1}, {"__sysv_signal", __sysv_signal, 1},
};

void OldHandlerAfter(void) {
  MakeMemory();
  char* wild = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (volatile size_t i = 0; i < sizeof(kSetters) / sizeof(kSetters[0]); ++i) {
    Case(kSetters[i].name);
    g_handled = 0;
    CHECK(kSetters[i].set(SIGSEGV, OnFaultOld) == SIG_DFL);
    EvictEverything();
    CHECK(Matches(g_memory, MIB, 8));
    CHECK(g_handled == 0);
    if (sigsetjmp(g_back, 1) == 0) *(volatile char*)(wild + 5) = 1;
    CHECK(g_handled == 1);
    EvictEverything();
    CHECK(Matches(g_memory, MIB, 8));
    CHECK(kSetters[i].set(SIGSEGV, SIG_DFL) == (kSetters[i].once ? SIG_DFL : OnFaultOld));
  }
  Case("sigignore");
  CHECK(sigignore(SIGSEGV) == 0);
  EvictEverything();
  CHECK(Matches(g_memory, MIB, 8));
  CHECK(signal(SIGSEGV, SIG_DFL) == SIG_IGN);
}

static void Nothing(int signum) { (void)signum; }

void HandlerSeen(void) {
  MakeMemory();
  struct sigaction old;
  CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
  Install();
  CHECK(sigaction(SIGSEGV, NULL, &old) == 0);
  CHECK(old.sa_sigaction == OnFault && (old.sa_flags & SA_SIGINFO) != 0);
  CHECK(signal(SIGSEGV, Nothing) == (sighandler_t)(void*)OnFault);
  CHECK(signal(SIGSEGV, SIG_DFL) == Nothing);
  CHECK(signal(SIGUSR1, Nothing) == SIG_DFL);
  CHECK(signal(SIGUSR1, SIG_IGN) == Nothing);
  CHECK(signal(12345, Nothing) == SIG_ERR);
  EvictEverything();
  CHECK(Matches(g_memory, MIB, 8));
}

void BlockedEverything(void) {
  MakeMemory();
  sigset_t all, old;
  sigfillset(&all);
  CHECK(sigprocmask(SIG_BLOCK, &all, &old) == 0);
  CHECK(sigismember(&old, SIGSEGV) == 0);
  EvictEverything();
  CHECK(Matches(g_memory, MIB, 8));
  /* The program sees what it set. */
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &old) == 0);
  CHECK(sigismember(&old, SIGSEGV) == 1 && sigismember(&old, SIGBUS) == 1 && sigismember(&old, SIGUSR1) == 1);
  sigemptyset(&all);
  CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &old) == 0);
  CHECK(sigismember(&old, SIGSEGV) == 0 && sigismember(&old, SIGUSR1) == 0);
}

static void* TouchWithFaultsBlocked(void* argument) {
  (void)argument;
  sigset_t faults, old;
  sigemptyset(&faults);
  sigaddset(&faults, SIGSEGV);
  sigaddset(&faults, SIGBUS);
  CHECK(pthread_sigmask(SIG_SETMASK, &faults, NULL) == 0);
  EvictEverything();
  CHECK(Matches(g_memory, MIB, 8));
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &old) == 0);
  CHECK(sigismember(&old, SIGSEGV) == 1 && sigismember(&old, SIGBUS) == 1);
  return NULL;
}

void BlockedInAThread(void) {
  MakeMemory();
  EvictEverything();
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, TouchWithFaultsBlocked, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

static void TouchMemory(int signum) {
  (void)signum;
  CHECK(Matches(g_memory, MIB, 8));
  ++g_handled;
}

void HandlerMask(void) {
  MakeMemory();
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = TouchMemory;
  sigfillset(&action.sa_mask);
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  EvictEverything();
  CHECK(raise(SIGUSR1) == 0);
  CHECK(g_handled == 1);
  /* The same out of sigsuspend with everything else blocked. */
  sigset_t blocked, waiting;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
  EvictEverything();
  CHECK(kill(getpid(), SIGUSR1) == 0);
  sigfillset(&waiting);
  sigdelset(&waiting, SIGUSR1);
  CHECK(sigsuspend(&waiting) == -1);
  CHECK(g_handled == 2);
}

/* Ends by SIGSEGV, as it would without Thermocline. */
void WildPointer(void) {
  MakeMemory();
  char* wild = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *(volatile char*)wild = 1;
}

/* So does one to whom it is sent. */
void SentSignal(void) {
  MakeMemory();
  kill(getpid(), SIGSEGV);
}

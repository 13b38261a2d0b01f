/* The scenarios of a program that is linked with libthermocline.so, in C as a user would write it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/adapters/calls/scenario.h"
#include "thermocline/thermocline.h"

static const size_t kBytes = 6 * MIB; /* more than any budget here */

static tc_runtime* Make(const char* fast) {
  tc_options options;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.fast = fast;
  tc_runtime* runtime = NULL;
  CHECK(tc_create(&options, &runtime) == TC_OK);
  return runtime;
}

static char* Evicted(tc_runtime* runtime, size_t bytes, unsigned seed) {
  char* tensor = tc_alloc(runtime, bytes);
  char* other = tc_alloc(runtime, 8 * MIB);
  CHECK(tensor != NULL && other != NULL);
  Fill(tensor, bytes, seed);
  memset(other, 7, 8 * MIB);
  CHECK(tc_free(runtime, other) == TC_OK);
  return tensor;
}

static void ReadsInto(tc_runtime* runtime) {
  const int fd = FilledFile(kBytes, 3);
  char* tensor = Evicted(runtime, kBytes, 1);
  CHECK(syscall(SYS_read, fd, tensor, MIB) == -1 && errno == EFAULT); /* it is away, and no call past us can have it */
  CHECK(read(fd, tensor, kBytes) == (ssize_t)kBytes);
  CHECK(Matches(tensor, kBytes, 3));
  CHECK(tc_free(runtime, tensor) == TC_OK);
  close(fd);
}

/* Two at a time, and others that went before and between. */
static void SeveralRuntimes(void) {
  tc_runtime* gone = Make("1MiB");
  CHECK(Evicted(gone, kBytes, 9) != NULL);
  tc_runtime* first = Make("2MiB");
  tc_runtime* second = Make("1MiB");
  tc_destroy(gone);
  ReadsInto(first);
  ReadsInto(second);
  char* one = Evicted(first, kBytes, 1);
  char* two = Evicted(second, kBytes, 2);
  const int fd = FilledFile(2 * kBytes, 4);
  struct iovec parts[] = {{one, kBytes}, {two, kBytes}};
  CHECK(readv(fd, parts, 2) == (ssize_t)(2 * kBytes));
  CHECK(Matches(one, kBytes, 4));
  FILE* file = fdopen(fd, "r+");
  rewind(file);
  Evicted(second, MIB, 5);
  CHECK(fwrite(two, 1, kBytes, file) == kBytes);
  CHECK(fwrite(one, 1, kBytes, file) == kBytes);
  rewind(file);
  CHECK(fread(one, 1, kBytes, file) == kBytes); /* each other's halves now */
  CHECK(fread(two, 1, kBytes, file) == kBytes);
  CHECK(Matches(two, kBytes, 4));
  fclose(file);
  tc_destroy(first);
  ReadsInto(second);
  tc_runtime* next = Make("2MiB");
  ReadsInto(next);
  ReadsInto(second);
  tc_destroy(next);
  tc_destroy(second);
}

static atomic_int g_stop;

static void* ReadUntilStopped(void* runtime) {
  while (!atomic_load(&g_stop)) ReadsInto(runtime);
  return NULL;
}

/* Runtimes come and go, at the same addresses often, while calls are under way in another's memory. */
static void RuntimesComeAndGo(void) {
  tc_runtime* stays = Make("2MiB");
  pthread_t reader;
  CHECK(pthread_create(&reader, NULL, ReadUntilStopped, stays) == 0);
  for (int i = 0; i < 20; ++i) {
    tc_runtime* goes = Make("1MiB");
    ReadsInto(goes);
    tc_destroy(goes);
  }
  atomic_store(&g_stop, 1);
  CHECK(pthread_join(reader, NULL) == 0);
  tc_destroy(stays);
}

/* Where no tensor is, next to those that are, the kernel finds nothing, and it costs no one their life. */
static void NoTensor(void) {
  char* tensor = Evicted(NULL, kBytes, 1);
  char* wild = tensor + 1024 * MIB;
  const int fd = FilledFile(kBytes, 3);
  errno = 0;
  CHECK(read(fd, wild, MIB) == -1 && errno == EFAULT);
  errno = 0;
  CHECK(pwrite(fd, wild, MIB, 0) == -1 && errno == EFAULT);
  CHECK(Matches(tensor, kBytes, 1));
}

/* More is offered than the tensor has, up to where nothing was ever allocated, and less comes. */
static void OfferedTooMuch(void) {
  char* tensor = tc_alloc(NULL, 16 * MIB);
  CHECK(tensor != NULL);
  Fill(tensor, 16 * MIB, 1);
  CHECK(Matches(tensor, 8 * MIB, 1)); /* so that its end is away */
  char* end = tensor + 16 * MIB - 64 * 1024;
  int ends[2];
  CHECK(pipe(ends) == 0 && write(ends[1], "abc", 3) == 3);
  CHECK(read(ends[0], end, 64 * MIB) == 3 && memcmp(end, "abc", 3) == 0);
}

static void NothingToMove(void) {
  char* tensor = Evicted(NULL, MIB, 1);
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
  CHECK(send(ends[0], tensor, 0, 0) == 0 && send(ends[0], "x", 1, 0) == 1);
  CHECK(recv(ends[1], tensor, MIB, 0) == 0); /* the empty one was sent */
  CHECK(recv(ends[1], tensor, MIB, 0) == 1);
  CHECK(read(-1, tensor, 0) == -1 && errno == EBADF);
}

static void ForkedChild(void) {
  char* tensor = Evicted(NULL, kBytes, 1);
  const int fd = FilledFile(kBytes, 3);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(pread(fd, tensor, kBytes, 0) == (ssize_t)kBytes);
    CHECK(Matches(tensor, kBytes, 3));
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(Matches(tensor, kBytes, 1));
  CHECK(pread(fd, tensor, kBytes, 0) == (ssize_t)kBytes);
  CHECK(Matches(tensor, kBytes, 3));
}

static void Nothing(int signum) { (void)signum; }

/* What the kernel has, past every library. */
static void* KernelHandler(int signum) {
  struct {
    void* handler;
    unsigned long flags;
    void* restorer;
    uint64_t mask;
  } action;
  CHECK(syscall(SYS_rt_sigaction, signum, NULL, &action, sizeof(uint64_t)) == 0);
  return action.handler;
}

static int KernelBlocks(int signum) {
  uint64_t mask = 0;
  CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask)) == 0);
  return (mask >> (signum - 1)) & 1;
}

static void BlockFaults(int how) {
  sigset_t faults;
  sigemptyset(&faults);
  sigaddset(&faults, SIGSEGV);
  CHECK(pthread_sigmask(how, &faults, NULL) == 0);
}

/* Without a runtime, or with a pass-through, the kernel is told what the program asks for. */
static void StraightThrough(void) {
  char* memory = tc_alloc(NULL, MIB); /* THERMOCLINE=off */
  CHECK(signal(SIGSEGV, Nothing) == SIG_DFL);
  CHECK(KernelHandler(SIGSEGV) == (void*)Nothing);
  CHECK(signal(SIGSEGV, SIG_DFL) == Nothing);
  BlockFaults(SIG_BLOCK);
  CHECK(KernelBlocks(SIGSEGV));
  const int fd = FilledFile(MIB, 3);
  CHECK(read(fd, memory, MIB) == (ssize_t)MIB && Matches(memory, MIB, 3));
}

/* A handler and a mask from before the first runtime: the handler is passed on to, and the mask may be lifted. */
static void FromBefore(void) {
  CHECK(signal(SIGSEGV, Nothing) == SIG_DFL);
  CHECK(KernelHandler(SIGSEGV) == (void*)Nothing);
  BlockFaults(SIG_BLOCK);
  CHECK(KernelBlocks(SIGSEGV));
  tc_runtime* runtime = Make("1MiB");
  CHECK(KernelHandler(SIGSEGV) != (void*)Nothing);
  CHECK(signal(SIGSEGV, SIG_DFL) == Nothing);
  CHECK(KernelHandler(SIGSEGV) != (void*)SIG_DFL); /* ours stays */
  BlockFaults(SIG_UNBLOCK);
  CHECK(!KernelBlocks(SIGSEGV));
  CHECK(Matches(Evicted(runtime, kBytes, 1), kBytes, 1));
  BlockFaults(SIG_BLOCK);
  CHECK(!KernelBlocks(SIGSEGV));
  CHECK(Matches(Evicted(runtime, kBytes, 1), kBytes, 1));
}

static const struct Scenario kScenarios[] = {
    CALL_SCENARIOS,
    {"SeveralRuntimes", SeveralRuntimes},
    {"RuntimesComeAndGo", RuntimesComeAndGo},
    {"NoTensor", NoTensor},
    {"OfferedTooMuch", OfferedTooMuch},
    {"NothingToMove", NothingToMove},
    {"ForkedChild", ForkedChild},
    {"StraightThrough", StraightThrough},
    {"FromBefore", FromBefore},
};

int main(int argc, char** argv) {
  return RunScenario(kScenarios, sizeof(kScenarios) / sizeof(kScenarios[0]), argc, argv);
}

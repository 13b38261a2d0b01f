#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/adapters/calls/scenario.h"

enum { kSeed = 21 };
static const size_t kBytes = 12 * MIB; /* more than the budget, so no call's buffer is ever resident as a whole */

static char* Evicted(size_t bytes, unsigned seed) {
  char* memory = malloc(bytes);
  CHECK(memory != NULL);
  Fill(memory, bytes, seed);
  EvictEverything();
  return memory;
}

/* What the interposed calls are for: a call past the C library fails, and returns no wrong bytes. */
void RawCall(void) {
  const int fd = FilledFile(kBytes, kSeed);
  char* memory = Evicted(kBytes, 1);
  errno = 0;
  CHECK(syscall(SYS_read, fd, memory, MIB) == -1 && errno == EFAULT);
  CHECK(Matches(memory, kBytes, 1));
}

void Reads(void) {
  const int fd = FilledFile(kBytes, kSeed);
  char* memory = Evicted(kBytes, 1);
  CHECK(read(fd, memory, kBytes) == (ssize_t)kBytes);
  CHECK(Matches(memory, kBytes, kSeed));
  CHECK(read(fd, memory, kBytes) == 0);

  memory = Evicted(kBytes, 1);
  CHECK(pread(fd, memory, kBytes, 0) == (ssize_t)kBytes);
  CHECK(Matches(memory, kBytes, kSeed));
  CHECK(pread(fd, memory, kBytes, (off_t)(kBytes - 100)) == 100);
  CHECK(pread(fd, memory, 10, -1) == -1 && errno == EINVAL);

  char small[1000];
  char* second = Evicted(kBytes, 2);
  struct iovec parts[] = {{memory, 5 * MIB}, {small, 1000}, {second, kBytes - 5 * MIB - 1000}};
  CHECK(lseek(fd, 0, SEEK_SET) == 0);
  CHECK(readv(fd, parts, 3) == (ssize_t)kBytes);
  char* joined = malloc(kBytes);
  memcpy(joined, memory, 5 * MIB);
  memcpy(joined + 5 * MIB, small, 1000);
  memcpy(joined + 5 * MIB + 1000, second, kBytes - 5 * MIB - 1000);
  CHECK(Matches(joined, kBytes, kSeed));
  EvictEverything();
  CHECK(preadv(fd, parts, 3, 0) == (ssize_t)kBytes);
  CHECK(memcmp(joined, memory, 5 * MIB) == 0);
  CHECK(preadv2(fd, parts, 1, 0, RWF_HIPRI) == (ssize_t)(5 * MIB) || errno == EOPNOTSUPP);
  CHECK(read(-1, memory, kBytes) == -1 && errno == EBADF);
  volatile int impossible = -1;
  CHECK(readv(fd, parts, impossible) == -1 && errno == EINVAL);
}

static void CheckFile(int fd) {
  char* map = mmap(NULL, kBytes, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(map != MAP_FAILED);
  CHECK(Matches(map, kBytes, kSeed));
  munmap(map, kBytes);
}

void Writes(void) {
  char* memory = Evicted(kBytes, kSeed);
  int fd = open("/var/tmp", O_TMPFILE | O_RDWR, 0600);
  CHECK(write(fd, memory, kBytes) == (ssize_t)kBytes);
  CheckFile(fd);
  EvictEverything();
  CHECK(ftruncate(fd, 0) == 0);
  CHECK(pwrite(fd, memory, kBytes, 0) == (ssize_t)kBytes);
  CheckFile(fd);
  EvictEverything();
  struct iovec parts[] = {{memory, MIB}, {memory + MIB, 7 * MIB + 8}, {memory + 8 * MIB + 8, kBytes - 8 * MIB - 8}};
  CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
  CHECK(writev(fd, parts, 3) == (ssize_t)kBytes);
  CheckFile(fd);
  CHECK(pwritev(fd, parts, 3, 0) == (ssize_t)kBytes);
  CheckFile(fd);
  CHECK(Matches(memory, kBytes, kSeed));
}

void Streams(void) {
  FILE* file = fdopen(FilledFile(kBytes, kSeed), "r+");
  char* memory = Evicted(kBytes, 1);
  CHECK(fread(memory, 8, kBytes / 8, file) == kBytes / 8);
  CHECK(Matches(memory, kBytes, kSeed));
  CHECK(fread(memory, 1, 8, file) == 0 && feof(file));

  rewind(file);
  EvictEverything();
  CHECK(fwrite(memory, kBytes, 1, file) == 1);
  CHECK(fflush(file) == 0);
  CheckFile(fileno(file));

  /* Lines that are longer than any buffer, copied by user code. */
  rewind(file);
  EvictEverything();
  CHECK(fgets(memory, (int)kBytes, file) != NULL);
  fclose(file);
}

void StreamBuffer(void) {
  FILE* file = fdopen(FilledFile(kBytes, kSeed), "r+");
  char* buffer = malloc(MIB);
  char* memory = malloc(kBytes);
  CHECK(setvbuf(file, buffer, _IOFBF, MIB) == 0);
  for (size_t at = 0; at < kBytes; at += 4096) {
    if (at % MIB == 0) EvictEverything();
    CHECK(fread(memory + at, 1, 4096, file) == 4096);
  }
  CHECK(Matches(memory, kBytes, kSeed));
  fclose(file);
  free(buffer);
}

static void* Sender(void* argument) {
  const int fd = *(int*)argument;
  char* memory = Evicted(kBytes, kSeed);
  CHECK(send(fd, memory, kBytes, 0) == (ssize_t)kBytes);
  EvictEverything();
  struct iovec part = {memory, kBytes};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  CHECK(sendmsg(fd, &message, 0) == (ssize_t)kBytes);
  return NULL;
}

void Sockets(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  pthread_t sender;
  CHECK(pthread_create(&sender, NULL, Sender, &ends[0]) == 0);
  char* memory = Evicted(kBytes, 1);
  CHECK(recv(ends[1], memory, kBytes, MSG_WAITALL) == (ssize_t)kBytes);
  CHECK(Matches(memory, kBytes, kSeed));
  memset(memory, 0, kBytes);
  for (size_t got = 0; got < kBytes;) {
    struct iovec part = {memory + got, kBytes - got};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    const ssize_t more = recvmsg(ends[1], &message, 0);
    CHECK(more > 0);
    got += (size_t)more;
  }
  CHECK(Matches(memory, kBytes, kSeed));
  CHECK(pthread_join(sender, NULL) == 0);
  /* A peek sees the same bytes again, and no more than are there. */
  EvictEverything();
  CHECK(send(ends[0], "hello", 5, 0) == 5);
  CHECK(recv(ends[1], memory, kBytes, MSG_PEEK) == 5);
  CHECK(recv(ends[1], memory, kBytes, 0) == 5 && memcmp(memory, "hello", 5) == 0);
}

void RandomBytes(void) {
  char* memory = Evicted(MIB, 1);
  memset(memory, 0, MIB);
  EvictEverything();
  CHECK(getrandom(memory, 4096, 0) == 4096);
  CHECK(getentropy(memory + 4096, 256) == 0);
  int zeros = 0;
  for (int i = 0; i < 4096 + 256; ++i) zeros += memory[i] == 0;
  CHECK(zeros < 400);
}

/* Nothing can be pinned any more: the calls go through a buffer of their own. */
void ReadWithFullBudget(void) {
  char* memory = Evicted(kBytes, 1);
  char* locked = malloc(3 * MIB);
  size_t held = 0;
  while (held < 3 * MIB && mlock(locked + held, 64 * 1024) == 0) held += 64 * 1024;
  CHECK(held > 0 && held < 3 * MIB);
  const int fd = FilledFile(kBytes, kSeed);
  CHECK(read(fd, memory, kBytes) == (ssize_t)kBytes);
  CHECK(Matches(memory, kBytes, kSeed));
  CHECK(ftruncate(fd, 0) == 0);
  CHECK(pwrite(fd, memory, kBytes, 0) == (ssize_t)kBytes);
  CheckFile(fd);
}

void ShortReads(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  char* memory = Evicted(kBytes, 1);
  CHECK(write(ends[1], "abc", 3) == 3);
  CHECK(read(ends[0], memory, kBytes) == 3); /* what is there, without waiting for more */
  CHECK(memcmp(memory, "abc", 3) == 0);
  CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
  EvictEverything();
  const ssize_t written = write(ends[1], memory, kBytes); /* as much as the pipe takes */
  CHECK(written > 0 && (size_t)written < kBytes);
  CHECK(write(ends[1], memory, kBytes) == -1 && errno == EAGAIN);
}

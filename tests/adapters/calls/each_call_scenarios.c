/* The calls that have no scenario of their own: each is made once with memory that is away, a line of a table each. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/adapters/calls/scenario.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* What programs call that are compiled with checks. `room`: what the compiler knows of the buffer. */
ssize_t __read_chk(int fd, void* buffer, size_t bytes, size_t room);
ssize_t __pread_chk(int fd, void* buffer, size_t bytes, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void* buffer, size_t bytes, off64_t offset, size_t room);
ssize_t __recv_chk(int fd, void* buffer, size_t bytes, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void* buffer, size_t bytes, size_t room, int flags, struct sockaddr* from,
                       socklen_t* from_length);
size_t __fread_chk(void* buffer, size_t room, size_t size, size_t count, FILE* stream);
size_t __fread_unlocked_chk(void* buffer, size_t room, size_t size, size_t count, FILE* stream);

enum { kSeed = 21, kOther = 4 };
static const size_t kBytes = 3 * MIB;         /* more than a call's buffers may take of the budget at once */
static const size_t kMessage = 64 * 1024;     /* what a datagram may be */
static const size_t kInFile = 2 * MIB + 4096; /* where in its file a transfer begins */

/* Not aligned, so that a message lies in two granules. */
static char* Evicted(size_t bytes, unsigned seed) {
  char* memory = malloc(bytes + MIB);
  CHECK(memory != NULL);
  memory += 32 * 1024;
  Fill(memory, bytes, seed);
  EvictEverything();
  return memory;
}

/* Memory that nobody moves, with the bytes of Fill(bytes, seed). */
static char* Plain(size_t bytes, unsigned seed) {
  char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  Fill(memory, bytes, seed);
  return memory;
}

/* A file whose bytes from kInFile on are Fill's. */
static int FileAt(size_t bytes, unsigned seed) {
  const int fd = open("/var/tmp", O_TMPFILE | O_RDWR, 0600);
  CHECK(fd >= 0);
  char* memory = Plain(bytes, seed);
  CHECK(lseek(fd, (off_t)kInFile, SEEK_SET) == (off_t)kInFile);
  CHECK(write(fd, memory, bytes) == (ssize_t)bytes);
  munmap(memory, bytes);
  CHECK(lseek(fd, (off_t)kInFile, SEEK_SET) == (off_t)kInFile);
  return fd;
}

/* The file, from kInFile on. */
static char* MapAt(int fd, size_t bytes) {
  char* map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, (off_t)kInFile);
  CHECK(map != MAP_FAILED);
  return map;
}

/* --- Files --- */

static struct iovec* Parts(char* memory) {
  static struct iovec parts[3];
  parts[0] = (struct iovec){memory, MIB};
  parts[1] = (struct iovec){memory + MIB, 100};
  parts[2] = (struct iovec){memory + MIB + 100, kBytes - MIB - 100};
  return parts;
}

struct FileCall {
  const char* name;
  ssize_t (*call)(int fd, char* memory);
  int moves; /* begins where the file stands, and moves it on */
};

static ssize_t Pread64(int fd, char* memory) { return pread64(fd, memory, kBytes, (off64_t)kInFile); }
static ssize_t Preadv64(int fd, char* memory) { return preadv64(fd, Parts(memory), 3, (off64_t)kInFile); }
static ssize_t Preadv2(int fd, char* memory) { return preadv2(fd, Parts(memory), 3, (off_t)kInFile, 0); }
static ssize_t Preadv2Here(int fd, char* memory) { return preadv2(fd, Parts(memory), 3, -1, 0); }
static ssize_t Preadv64v2(int fd, char* memory) { return preadv64v2(fd, Parts(memory), 3, (off64_t)kInFile, 0); }
static ssize_t Preadv64v2Here(int fd, char* memory) { return preadv64v2(fd, Parts(memory), 3, -1, 0); }
static ssize_t ReadChk(int fd, char* memory) { return __read_chk(fd, memory, kBytes, kBytes); }
static ssize_t PreadChk(int fd, char* memory) { return __pread_chk(fd, memory, kBytes, (off_t)kInFile, kBytes); }
static ssize_t Pread64Chk(int fd, char* memory) { return __pread64_chk(fd, memory, kBytes, (off64_t)kInFile, kBytes); }
static ssize_t Pwrite64(int fd, char* memory) { return pwrite64(fd, memory, kBytes, (off64_t)kInFile); }
static ssize_t Pwritev64(int fd, char* memory) { return pwritev64(fd, Parts(memory), 3, (off64_t)kInFile); }
static ssize_t Pwritev2(int fd, char* memory) { return pwritev2(fd, Parts(memory), 3, (off_t)kInFile, 0); }
static ssize_t Pwritev2Here(int fd, char* memory) { return pwritev2(fd, Parts(memory), 3, -1, 0); }
static ssize_t Pwritev64v2(int fd, char* memory) { return pwritev64v2(fd, Parts(memory), 3, (off64_t)kInFile, 0); }
static ssize_t Pwritev64v2Here(int fd, char* memory) { return pwritev64v2(fd, Parts(memory), 3, -1, 0); }

static void CheckPositionAndErrors(const struct FileCall* call, int fd, char* memory) {
  CHECK(lseek(fd, 0, SEEK_CUR) == (off_t)(kInFile + (call->moves ? kBytes : 0)));
  errno = 0;
  CHECK(call->call(-1, memory) == -1 && errno == EBADF);
  close(fd);
}

void FileReads(void) {
  static const struct FileCall kCalls[] = {
      {"pread64", Pread64, 0},          {"preadv64", Preadv64, 0},
      {"preadv2", Preadv2, 0},          {"preadv2 at the file's position", Preadv2Here, 1},
      {"preadv64v2", Preadv64v2, 0},    {"preadv64v2 at the file's position", Preadv64v2Here, 1},
      {"__read_chk", ReadChk, 1},       {"__pread_chk", PreadChk, 0},
      {"__pread64_chk", Pread64Chk, 0},
  };
  for (size_t i = 0; i < COUNT(kCalls); ++i) {
    Case(kCalls[i].name);
    const int fd = FileAt(kBytes, kSeed);
    char* memory = Evicted(kBytes, kOther);
    CHECK(kCalls[i].call(fd, memory) == (ssize_t)kBytes);
    CHECK(Matches(memory, kBytes, kSeed));
    CheckPositionAndErrors(&kCalls[i], fd, memory);
  }
}

void FileWrites(void) {
  static const struct FileCall kCalls[] = {
      {"pwrite64", Pwrite64, 0},       {"pwritev64", Pwritev64, 0},
      {"pwritev2", Pwritev2, 0},       {"pwritev2 at the file's position", Pwritev2Here, 1},
      {"pwritev64v2", Pwritev64v2, 0}, {"pwritev64v2 at the file's position", Pwritev64v2Here, 1},
  };
  for (size_t i = 0; i < COUNT(kCalls); ++i) {
    Case(kCalls[i].name);
    const int fd = FileAt(kBytes, kOther);
    char* memory = Evicted(kBytes, kSeed);
    CHECK(kCalls[i].call(fd, memory) == (ssize_t)kBytes);
    char* map = MapAt(fd, kBytes);
    CHECK(Matches(map, kBytes, kSeed));
    munmap(map, kBytes);
    CheckPositionAndErrors(&kCalls[i], fd, memory);
  }
}

/* --- Streams --- */

static size_t FreadUnlocked(FILE* file, char* memory) { return fread_unlocked(memory, 8, kBytes / 8, file); }
static size_t FreadChk(FILE* file, char* memory) { return __fread_chk(memory, kBytes, 8, kBytes / 8, file); }
static size_t FreadUnlockedChk(FILE* file, char* memory) {
  return __fread_unlocked_chk(memory, kBytes, 8, kBytes / 8, file);
}

void StreamReads(void) {
  static const struct {
    const char* name;
    size_t (*call)(FILE* file, char* memory);
  } kCalls[] = {
      {"fread_unlocked", FreadUnlocked}, {"__fread_chk", FreadChk}, {"__fread_unlocked_chk", FreadUnlockedChk}};
  for (size_t i = 0; i < COUNT(kCalls); ++i) {
    Case(kCalls[i].name);
    FILE* file = fdopen(FileAt(kBytes, kSeed), "r+");
    char* memory = Evicted(kBytes, kOther);
    CHECK(kCalls[i].call(file, memory) == kBytes / 8);
    CHECK(Matches(memory, kBytes, kSeed));
    CHECK(kCalls[i].call(file, memory) == 0 && feof(file)); /* there is no more of it */
    fclose(file);
  }
  Case("fwrite_unlocked");
  FILE* file = fdopen(FileAt(kBytes, kOther), "r+");
  char* memory = Evicted(kBytes, kSeed);
  CHECK(fwrite_unlocked(memory, 8, kBytes / 8, file) == kBytes / 8 && fflush(file) == 0);
  CHECK(Matches(MapAt(fileno(file), kBytes), kBytes, kSeed));
  fclose(file);
}

static void Setbuf(FILE* file, char* buffer) { setbuf(file, buffer); }
static void Setbuffer(FILE* file, char* buffer) { setbuffer(file, buffer, MIB); }

/* The kernel fills a stream's buffer at any time, so it is another one than the program gives. */
void StreamBuffers(void) {
  static const struct {
    const char* name;
    void (*give)(FILE* file, char* buffer);
  } kCalls[] = {{"setbuf", Setbuf}, {"setbuffer", Setbuffer}};
  for (size_t i = 0; i < COUNT(kCalls); ++i) {
    Case(kCalls[i].name);
    FILE* file = fdopen(FileAt(kBytes, kSeed), "r+");
    char* buffer = Evicted(MIB, kOther);
    char* memory = Plain(kBytes, kOther);
    kCalls[i].give(file, buffer);
    for (size_t at = 0; at < kBytes; at += 4096) {
      if (at % MIB == 0) EvictEverything();
      CHECK(fread(memory + at, 1, 4096, file) == 4096);
    }
    CHECK(Matches(memory, kBytes, kSeed));
    /* None at all may be asked for too: what is written is in the file at once. */
    rewind(file);
    kCalls[i].give(file, NULL);
    CHECK(fwrite("unbuffered", 1, 10, file) == 10);
    char now[10];
    CHECK(pread(fileno(file), now, 10, 0) == 10 && memcmp(now, "unbuffered", 10) == 0);
    fclose(file);
  }
}

/* --- Sockets --- */

struct Ends {
  int near, far;
  struct sockaddr_un near_name, far_name;
  socklen_t near_length, far_length;
};

static int NamedSocket(struct sockaddr_un* name, socklen_t* length) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  const struct sockaddr_un any = {.sun_family = AF_UNIX};
  CHECK(fd >= 0 && bind(fd, (const struct sockaddr*)&any, sizeof(any.sun_family)) == 0); /* the kernel's choice */
  *length = sizeof(*name);
  CHECK(getsockname(fd, (struct sockaddr*)name, length) == 0);
  return fd;
}

/* Two sockets with names, which keep messages apart. */
static struct Ends MakeEnds(void) {
  struct Ends ends;
  ends.near = NamedSocket(&ends.near_name, &ends.near_length);
  ends.far = NamedSocket(&ends.far_name, &ends.far_length);
  return ends;
}

static void CloseEnds(const struct Ends* ends) {
  close(ends->near);
  close(ends->far);
}

void Datagrams(void) {
  struct Ends ends = MakeEnds();
  Case("sendto");
  char* memory = Evicted(kMessage, kSeed);
  const struct sockaddr* far = (const struct sockaddr*)&ends.far_name;
  CHECK(sendto(ends.near, memory, kMessage, 0, far, ends.far_length) == (ssize_t)kMessage);
  Case("recvfrom");
  memory = Evicted(kMessage, kOther);
  struct sockaddr_un from;
  socklen_t length = sizeof(from);
  CHECK(recvfrom(ends.far, memory, MIB, 0, (struct sockaddr*)&from, &length) == (ssize_t)kMessage);
  CHECK(Matches(memory, kMessage, kSeed));
  CHECK(length == ends.near_length && memcmp(&from, &ends.near_name, length) == 0);
  Case("__recvfrom_chk");
  char* sent = Plain(kMessage, kSeed);
  CHECK(sendto(ends.near, sent, kMessage, 0, far, ends.far_length) == (ssize_t)kMessage);
  memory = Evicted(kMessage, kOther);
  length = sizeof(from);
  CHECK(__recvfrom_chk(ends.far, memory, kMessage, kMessage, 0, (struct sockaddr*)&from, &length) == (ssize_t)kMessage);
  CHECK(Matches(memory, kMessage, kSeed));
  CHECK(length == ends.near_length && memcmp(&from, &ends.near_name, length) == 0);
  Case("__recv_chk");
  CHECK(sendto(ends.near, sent, kMessage, 0, far, ends.far_length) == (ssize_t)kMessage);
  memory = Evicted(kMessage, kOther);
  CHECK(__recv_chk(ends.far, memory, kMessage, kMessage, 0) == (ssize_t)kMessage);
  CHECK(Matches(memory, kMessage, kSeed));
  CloseEnds(&ends);
}

/* Messages of which some lie in memory that is away: the first and the last don't, one does in part. */
enum { kMessages = 5 };
struct Batch {
  struct mmsghdr messages[kMessages];
  struct iovec parts[kMessages][2];
};

static char* NewPart(int away, size_t bytes, unsigned seed) {
  if (!away) return Plain(bytes, seed);
  char* memory = malloc(MIB);
  CHECK(memory != NULL);
  Fill(memory, bytes, seed);
  return memory;
}

/* Each message is bytes of its own, of `seed` and its number, in two parts of unlike lengths. */
static void MakeBatch(struct Batch* batch, unsigned seed) {
  memset(batch, 0, sizeof(*batch));
  for (int i = 0; i < kMessages; ++i) {
    const size_t half = 8 * 1024;
    batch->parts[i][0] = (struct iovec){NewPart(i == 1 || i == 2, half, seed + (unsigned)i), half};
    batch->parts[i][1] = (struct iovec){NewPart(i == 1 || i == 3, 2 * half, seed + 100 + (unsigned)i), 2 * half};
    batch->messages[i].msg_hdr.msg_iov = batch->parts[i];
    batch->messages[i].msg_hdr.msg_iovlen = 2;
  }
  EvictEverything();
}

static void CheckBatch(const struct Batch* batch, unsigned seed) {
  for (int i = 0; i < kMessages; ++i) {
    const struct iovec* parts = batch->parts[i];
    CHECK(batch->messages[i].msg_len == parts[0].iov_len + parts[1].iov_len);
    CHECK(Matches(parts[0].iov_base, parts[0].iov_len, seed + (unsigned)i));
    CHECK(Matches(parts[1].iov_base, parts[1].iov_len, seed + 100 + (unsigned)i));
  }
}

/* Makes the call until all messages are done: each may do fewer than it was asked for, as with any. */
static void SendBatch(int fd, struct Batch* batch) {
  for (int done = 0, more; done < kMessages; done += more) {
    more = sendmmsg(fd, batch->messages + done, (unsigned)(kMessages - done), 0);
    CHECK(more > 0 && done + more <= kMessages);
  }
}
static void ReceiveBatch(int fd, struct Batch* batch) {
  for (int done = 0, more; done < kMessages; done += more) {
    more = recvmmsg(fd, batch->messages + done, (unsigned)(kMessages - done), MSG_WAITFORONE, NULL);
    CHECK(more > 0 && done + more <= kMessages);
  }
}

void Messages(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
  struct Batch sent, received;
  MakeBatch(&sent, 1000);
  MakeBatch(&received, 2000);
  Case("sendmmsg");
  SendBatch(ends[0], &sent);
  CheckBatch(&sent, 1000);
  Case("recvmmsg");
  EvictEverything();
  ReceiveBatch(ends[1], &received);
  CheckBatch(&received, 1000);
  char one;
  errno = 0;
  CHECK(recv(ends[1], &one, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN); /* each was sent once */
  errno = 0;
  CHECK(recvmmsg(ends[1], received.messages + 1, 2, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
  errno = 0;
  CHECK(sendmmsg(-1, sent.messages + 1, 2, 0) == -1 && errno == EBADF);
}

/* --- Checks of the buffer's size --- */

static int FilledSocket(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(send(ends[0], Plain(kMessage, kSeed), kMessage, 0) == (ssize_t)kMessage);
  return ends[1];
}
static FILE* FilledStream(void) { return fdopen(FileAt(kMessage, kSeed), "r"); }

static void ReadTooMuch(char* memory, size_t room) { __read_chk(FileAt(kMessage, kSeed), memory, kMessage, room); }
static void PreadTooMuch(char* memory, size_t room) { __pread_chk(FileAt(kMessage, kSeed), memory, kMessage, 0, room); }
static void Pread64TooMuch(char* memory, size_t room) {
  __pread64_chk(FileAt(kMessage, kSeed), memory, kMessage, 0, room);
}
static void RecvTooMuch(char* memory, size_t room) { __recv_chk(FilledSocket(), memory, kMessage, room, 0); }
static void RecvfromTooMuch(char* memory, size_t room) {
  __recvfrom_chk(FilledSocket(), memory, kMessage, room, 0, NULL, NULL);
}
static void FreadTooMuch(char* memory, size_t room) { __fread_chk(memory, room, 1, kMessage, FilledStream()); }
static void FreadUnlockedTooMuch(char* memory, size_t room) {
  __fread_unlocked_chk(memory, room, 1, kMessage, FilledStream());
}

/* A program that is compiled with checks ends where a buffer is too small, though it has a tensor in it. */
void CheckedBuffers(void) {
  static const struct {
    const char* name;
    void (*call)(char* memory, size_t room);
  } kCalls[] = {
      {"__read_chk", ReadTooMuch},
      {"__pread_chk", PreadTooMuch},
      {"__pread64_chk", Pread64TooMuch},
      {"__recv_chk", RecvTooMuch},
      {"__recvfrom_chk", RecvfromTooMuch},
      {"__fread_chk", FreadTooMuch},
      {"__fread_unlocked_chk", FreadUnlockedTooMuch},
  };
  const struct rlimit no_core = {0, 0};
  CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
  char* memory = Evicted(kMessage, kOther);
  for (size_t i = 0; i < COUNT(kCalls); ++i) {
    Case(kCalls[i].name);
    for (int too_small = 0; too_small < 2; ++too_small) {
      const pid_t child = fork();
      CHECK(child >= 0);
      if (child == 0) {
        kCalls[i].call(memory, too_small ? kMessage - 1 : kMessage);
        _exit(0);
      }
      int status = 0;
      CHECK(waitpid(child, &status, 0) == child);
      CHECK(too_small ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT : status == 0);
    }
  }
}

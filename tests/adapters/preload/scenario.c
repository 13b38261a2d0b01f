#define _GNU_SOURCE
#include "scenario.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void Fail(const char* file, int line, const char* what) {
  fprintf(stderr, "%s:%d: %s is not so\n", file, line, what);
  exit(1);
}

static uint64_t Word(size_t index, unsigned seed) {
  return ((uint64_t)seed << 40) ^ (index * UINT64_C(0x9E3779B97F4A7C15)) ^ 1;
}

void Fill(void* memory, size_t bytes, unsigned seed) {
  uint64_t* words = memory;
  for (size_t i = 0; i < bytes / 8; ++i) words[i] = Word(i, seed);
}

int Matches(const void* memory, size_t bytes, unsigned seed) {
  const uint64_t* words = memory;
  for (size_t i = 0; i < bytes / 8; ++i) {
    if (words[i] != Word(i, seed)) return 0;
  }
  return 1;
}

void EvictEverything(void) {
  char* other = malloc(16 * MIB);
  CHECK(other != NULL);
  memset(other, 7, 16 * MIB);
  free(other);
}

int FilledFile(size_t bytes, unsigned seed) {
  const int fd = open("/var/tmp", O_TMPFILE | O_RDWR, 0600);
  CHECK(fd >= 0);
  /* Memory of its own, so that it is not what is tested. */
  char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  Fill(memory, bytes, seed);
  CHECK(write(fd, memory, bytes) == (ssize_t)bytes);
  munmap(memory, bytes);
  CHECK(lseek(fd, 0, SEEK_SET) == 0);
  return fd;
}

struct Scenario {
  const char* name;
  void (*run)(void);
};

static const struct Scenario kScenarios[] = {
    {"Integrity", Integrity},
    {"Threads", Threads},
    {"Resizing", Resizing},
    {"Zeroes", Zeroes},
    {"Alignments", Alignments},
    {"DoubleFree", DoubleFree},
    {"ForkedCopies", ForkedCopies},
    {"ForkedAllocations", ForkedAllocations},
    {"Advice", Advice},
    {"LockedMemory", LockedMemory},
    {"ThreadStack", ThreadStack},
    {"Overflows", Overflows},
    {"Rhythm", Rhythm},
    {"RawCall", RawCall},
    {"Reads", Reads},
    {"Writes", Writes},
    {"Streams", Streams},
    {"StreamBuffer", StreamBuffer},
    {"Sockets", Sockets},
    {"RandomBytes", RandomBytes},
    {"ReadWithFullBudget", ReadWithFullBudget},
    {"ShortReads", ShortReads},
    {"HandlerBefore", HandlerBefore},
    {"HandlerAfter", HandlerAfter},
    {"HandlerSeen", HandlerSeen},
    {"BlockedEverything", BlockedEverything},
    {"HandlerMask", HandlerMask},
    {"WildPointer", WildPointer},
    {"SentSignal", SentSignal},
};

int main(int argc, char** argv) {
  for (size_t i = 0; argc == 2 && i < sizeof(kScenarios) / sizeof(kScenarios[0]); ++i) {
    if (strcmp(argv[1], kScenarios[i].name) != 0) continue;
    kScenarios[i].run();
    puts("all right");
    return 0;
  }
  fprintf(stderr, "no such scenario\n");
  return 2;
}

#define _GNU_SOURCE
#include "tests/adapters/calls/scenario.h"

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

void Case(const char* name) { fprintf(stderr, "case %s\n", name); }

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
  char* other = malloc(8 * MIB);
  CHECK(other != NULL);
  memset(other, 7, 8 * MIB);
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

int RunScenario(const struct Scenario* scenarios, size_t count, int argc, char** argv) {
  for (size_t i = 0; argc == 2 && i < count; ++i) {
    if (strcmp(argv[1], scenarios[i].name) != 0) continue;
    scenarios[i].run();
    puts("all right");
    return 0;
  }
  fprintf(stderr, "no such scenario\n");
  return 2;
}

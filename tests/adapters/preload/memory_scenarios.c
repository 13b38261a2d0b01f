#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/adapters/calls/scenario.h"

void Integrity(void) {
  enum { kBlocks = 24 };
  char* blocks[kBlocks];
  for (unsigned i = 0; i < kBlocks; ++i) {
    blocks[i] = malloc(MIB);
    CHECK(blocks[i] != NULL);
    Fill(blocks[i], MIB, i);
  }
  for (int round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < kBlocks; ++i) CHECK(Matches(blocks[i], MIB, i));
  }
  for (unsigned i = 0; i < kBlocks; ++i) free(blocks[i]);
}

static void* Worker(void* argument) {
  const unsigned id = (unsigned)(uintptr_t)argument;
  char* blocks[6] = {NULL};
  size_t sizes[6] = {0};
  unsigned random = id * 2654435761u + 1;
  for (int round = 0; round < 200; ++round) {
    random = random * 1664525u + 1013904223u;
    const unsigned slot = (random >> 8) % 6;
    if (blocks[slot] != NULL) CHECK(Matches(blocks[slot], sizes[slot], id * 100 + slot));
    if ((random >> 16) % 3 == 0) {
      free(blocks[slot]);
      blocks[slot] = NULL;
      continue;
    }
    const size_t kept = sizes[slot];
    sizes[slot] = (size_t)(64 + (random >> 20) % 700) * 1024;
    const int had = blocks[slot] != NULL;
    blocks[slot] = realloc(blocks[slot], sizes[slot]);
    CHECK(blocks[slot] != NULL);
    if (had) CHECK(Matches(blocks[slot], kept < sizes[slot] ? kept : sizes[slot], id * 100 + slot));
    Fill(blocks[slot], sizes[slot], id * 100 + slot);
  }
  for (int slot = 0; slot < 6; ++slot) free(blocks[slot]);
  return NULL;
}

void Threads(void) {
  pthread_t threads[4];
  for (uintptr_t i = 0; i < 4; ++i) CHECK(pthread_create(&threads[i], NULL, Worker, (void*)(i + 1)) == 0);
  for (int i = 0; i < 4; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
}

void Resizing(void) {
  const size_t sizes[] = {1000, 200 * 1024, MIB, 6 * MIB, 5 * MIB, 300 * 1024, 1000, 2 * MIB, 100 * 1024};
  char* memory = malloc(64);
  size_t had = 64;
  Fill(memory, had, 3);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i) {
    EvictEverything();
    memory = realloc(memory, sizes[i]);
    CHECK(memory != NULL);
    CHECK(malloc_usable_size(memory) >= sizes[i]);
    CHECK(Matches(memory, had < sizes[i] ? had : sizes[i], 3));
    had = sizes[i];
    Fill(memory, had, 3);
  }
  CHECK(realloc(memory, 0) == NULL);
  memory = reallocarray(NULL, 1024, 1024);
  CHECK(memory != NULL);
  free(memory);
}

void Zeroes(void) {
  EvictEverything(); /* frames that have been written are there for reuse */
  char* memory = calloc(5, MIB);
  CHECK(memory != NULL);
  for (size_t i = 0; i < 5 * MIB; ++i) CHECK(memory[i] == 0);
  free(memory);
}

void Alignments(void) {
  for (size_t alignment = 16; alignment <= 2 * MIB; alignment *= 2) {
    void* memory = NULL;
    errno = 77;
    CHECK(posix_memalign(&memory, alignment, MIB) == 0);
    CHECK(errno == 77);
    CHECK((uintptr_t)memory % alignment == 0);
    Fill(memory, MIB, 1);
    EvictEverything();
    CHECK(Matches(memory, MIB, 1));
    free(memory);
    memory = aligned_alloc(alignment, 2 * MIB);
    CHECK(memory != NULL && (uintptr_t)memory % alignment == 0);
    free(memory);
  }
  void* memory = memalign(4096, MIB);
  CHECK((uintptr_t)memory % 4096 == 0);
  free(memory);
  memory = valloc(MIB);
  CHECK((uintptr_t)memory % 4096 == 0);
  free(memory);
  CHECK(posix_memalign(&memory, 24, MIB) == EINVAL);
}

void DoubleFree(void) {
  char* volatile memory = malloc(MIB);
  char* volatile other = malloc(MIB);
  memset(other, 5, MIB);
  free(memory);
  free(memory);
  free(memory); /* and once more */
  EvictEverything();
  CHECK(other[MIB - 1] == 5);
  free(other);
}

static int EndsWell(pid_t child) {
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void ForkedCopies(void) {
  enum { kBlocks = 12 };
  char* blocks[kBlocks];
  for (unsigned i = 0; i < kBlocks; ++i) {
    blocks[i] = malloc(MIB);
    Fill(blocks[i], MIB, i);
  }
  int to_child[2];
  CHECK(pipe(to_child) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  char byte = 0;
  if (child == 0) {
    CHECK(read(to_child[0], &byte, 1) == 1); /* the parent has overwritten everything by now */
    for (unsigned i = 0; i < kBlocks; ++i) CHECK(Matches(blocks[i], MIB, i));
    for (unsigned i = 0; i < kBlocks; ++i) Fill(blocks[i], MIB, 200 + i);
    for (unsigned i = 0; i < kBlocks; ++i) CHECK(Matches(blocks[i], MIB, 200 + i));
    _exit(0);
  }
  for (unsigned i = 0; i < kBlocks; ++i) CHECK(Matches(blocks[i], MIB, i));
  for (unsigned i = 0; i < kBlocks; ++i) Fill(blocks[i], MIB, 100 + i);
  CHECK(write(to_child[1], "x", 1) == 1);
  CHECK(EndsWell(child));
  for (unsigned i = 0; i < kBlocks; ++i) CHECK(Matches(blocks[i], MIB, 100 + i));
}

void ForkedAllocations(void) {
  char* inherited = malloc(MIB);
  Fill(inherited, MIB, 9);
  EvictEverything();
  for (int round = 0; round < 3; ++round) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      char* fresh = malloc(3 * MIB);
      Fill(fresh, 3 * MIB, 4);
      inherited = realloc(inherited, 2 * MIB);
      CHECK(Matches(inherited, MIB, 9));
      CHECK(Matches(fresh, 3 * MIB, 4));
      free(fresh);
      free(inherited);
      _exit(0);
    }
    CHECK(EndsWell(child));
  }
  CHECK(Matches(inherited, MIB, 9));
}

/* Whether the kernel finds a page at the address: it waits for none that is away. */
static int IsThere(const char* address) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const int there = syscall(SYS_write, ends[1], address, 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return there;
}
static int IsThereSoon(const char* address) {
  for (int i = 0; i < 500 && !IsThere(address); ++i) usleep(10 * 1000);
  return IsThere(address);
}

void Advice(void) {
  char* memory = malloc(8 * MIB);
  Fill(memory, 8 * MIB, 2);
  char* middle = (char*)(((uintptr_t)memory + MIB) & ~(uintptr_t)4095);
  CHECK(madvise(middle, 3 * 4096, MADV_HUGEPAGE) == 0);
  CHECK(madvise(middle, MIB, MADV_DONTDUMP) == 0);
  CHECK(posix_madvise(middle + 8 * 4096, 3 * 4096, POSIX_MADV_RANDOM) == 0);
  CHECK(posix_madvise(middle, MIB, POSIX_MADV_DONTNEED) == 0); /* which keeps the bytes */
  CHECK(mprotect(middle, 4096, PROT_READ | PROT_WRITE) == 0);
  CHECK(mprotect(middle, 4096, PROT_NONE) == -1 && errno == EACCES);
  for (int round = 0; round < 2; ++round) {
    EvictEverything();
    CHECK(Matches(memory, 8 * MIB, 2));
  }
  EvictEverything();
  CHECK(!IsThere(middle));
  CHECK(madvise(middle, 4096, MADV_WILLNEED) == 0 && IsThereSoon(middle));
  EvictEverything();
  CHECK(posix_madvise(middle, 4096, POSIX_MADV_WILLNEED) == 0 && IsThereSoon(middle));
  CHECK(madvise(middle, 4096, MADV_DONTNEED) == 0);
  for (int i = 0; i < 4096; ++i) CHECK(middle[i] == 0);
  free(memory);
}

void LockedMemory(void) {
  char* memory = malloc(512 * 1024);
  Fill(memory, 512 * 1024, 6);
  CHECK(mlock(memory, 512 * 1024) == 0);
  EvictEverything();
  CHECK(Matches(memory, 512 * 1024, 6));
  CHECK(munlock(memory, 512 * 1024) == 0);
  EvictEverything();
  CHECK(Matches(memory, 512 * 1024, 6));
  free(memory);
}

static void* UseStack(void* argument) {
  (void)argument;
  volatile char deep[200 * 1024];
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < sizeof(deep); i += 512) deep[i] = (char)round;
    EvictEverything();
    for (size_t i = 0; i < sizeof(deep); i += 512) CHECK(deep[i] == (char)round);
  }
  return NULL;
}

void ThreadStack(void) {
  char* stack = aligned_alloc(4096, 512 * 1024);
  pthread_attr_t attributes;
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstack(&attributes, stack, 512 * 1024) == 0);
  EvictEverything();
  CHECK(pthread_create(&thread, &attributes, UseStack, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

void Overflows(void) {
  volatile size_t huge = SIZE_MAX / 2;
  errno = 0;
  CHECK(calloc(huge, 4) == NULL && errno == ENOMEM);
  errno = 0;
  CHECK(reallocarray(NULL, huge, 4) == NULL && errno == ENOMEM);
  errno = 0;
  CHECK(malloc(huge) == NULL && errno == ENOMEM);
  errno = 0;
  CHECK(pvalloc(SIZE_MAX - 10) == NULL && errno == ENOMEM);
  Integrity();
}

/* A training step: every layer's activation is kept for the way back; nothing is marked. */
void Rhythm(void) {
  enum { kLayers = 24, kSteps = 14 };
  const size_t bytes = 512 << 10;
  static char* weights[kLayers];
  for (int i = 0; i < kLayers; ++i) {
    weights[i] = malloc(300 << 10);
    CHECK(weights[i] != NULL);
    Fill(weights[i], 300 << 10, 1000 + i);
  }
  for (int step = 0; step < kSteps; ++step) {
    char* saved[kLayers];
    for (int i = 0; i < kLayers; ++i) {
      char* scratch = malloc(bytes + 4096 * (size_t)(i % 3));
      saved[i] = malloc(bytes);
      CHECK(scratch != NULL && saved[i] != NULL);
      Fill(scratch, bytes, i);
      CHECK(Matches(weights[i], 300 << 10, 1000 + i));
      Fill(saved[i], bytes, 100 * step + i);
      CHECK(Matches(scratch, bytes, i));
      free(scratch);
    }
    /* Noise: a size of its own in every step. */
    char* odd = malloc(bytes + 4096 * (size_t)(10 + step));
    CHECK(odd != NULL);
    for (int i = kLayers - 1; i >= 0; --i) {
      CHECK(Matches(saved[i], bytes, 100 * step + i));
      CHECK(Matches(weights[i], 300 << 10, 1000 + i));
      free(saved[i]);
    }
    free(odd);
  }
  for (int i = 0; i < kLayers; ++i) free(weights[i]);
}

/* An ordinary program, which knows nothing of Thermocline: in each step it makes blocks out of older ones, with malloc
 * and free, in a rhythm. It needs 48 MiB. In the last step, when all of it is there, it says its process id and waits
 * for a line or the end of its input, so that somebody can look at it from outside; then it prints a sum over all that
 * it read.
 *
 *     rhythm STEPS */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { kKept = 12, kMade = 12, kWords = (2 << 20) / 8 };

static uint64_t Mix(const uint64_t* from, uint64_t* to, uint64_t seed) {
  uint64_t sum = seed;
  for (int i = 0; i < kWords; ++i) {
    sum = sum * 31 + from[i];
    to[i] = sum;
  }
  return sum;
}

int main(int argc, char** argv) {
  const int steps = argc > 1 ? atoi(argv[1]) : 10;
  uint64_t* kept[kKept];
  uint64_t* made[kMade];
  uint64_t sum = 1;
  for (int i = 0; i < kKept; ++i) {
    if ((kept[i] = malloc(kWords * 8)) == NULL) return 1;
    for (int word = 0; word < kWords; ++word) kept[i][word] = (uint64_t)i * 7 + (uint64_t)word;
  }
  for (int step = 0; step < steps; ++step) {
    for (int i = 0; i < kMade; ++i) {
      if ((made[i] = malloc(kWords * 8)) == NULL) return 1;
      sum = Mix(kept[i], made[i], sum);
    }
    if (step + 1 == steps) {
      printf("pid %d\n", getpid());
      fflush(stdout);
      getchar();
    }
    for (int i = kMade - 1; i >= 0; --i) {
      sum = Mix(made[i], kept[i], sum);
      free(made[i]);
    }
  }
  for (int i = 0; i < kKept; ++i) free(kept[i]);
  printf("sum %016llx\n", (unsigned long long)sum);
  return 0;
}

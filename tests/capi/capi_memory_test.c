/* The C API: allocation, what is freed wrongly, resizing, and a budget that changes. */
#define _GNU_SOURCE
#include <unistd.h>

#include "tests/capi/capi_test.h"

static void Memory(void) {
  tc_runtime* runtime = Make("16MiB");
  static const size_t kSizes[] = {0, 1, 63, 64, 65, 4096, 32767, 32768, 65536, 1 << 20, 40 << 20};
  for (size_t i = 0; i < sizeof(kSizes) / sizeof(kSizes[0]); ++i) {
    char* pointer = tc_alloc(runtime, kSizes[i]);
    CHECK(pointer != NULL && (uintptr_t)pointer % 64 == 0);
    CHECK(tc_usable_size(runtime, pointer) >= kSizes[i]);
    memset(pointer, 0x5a, kSizes[i]);
    CHECK_STATUS(tc_free(runtime, pointer), TC_OK);
    CHECK_STATUS(tc_free(runtime, pointer), TC_INVALID_ARGUMENT);
    CHECK(strstr(tc_last_error(), "freed before") != NULL);
    CHECK(tc_usable_size(runtime, pointer) == 0);
  }
  for (size_t alignment = 1; alignment <= (size_t)8 << 20; alignment *= 2) {
    void* pointer = tc_aligned_alloc(runtime, alignment, 100);
    CHECK(pointer != NULL && (uintptr_t)pointer % alignment == 0);
    CHECK_STATUS(tc_free(runtime, pointer), TC_OK);
  }
  CHECK(tc_aligned_alloc(runtime, 0, 64) == NULL);
  CHECK(tc_aligned_alloc(runtime, 96, 64) == NULL);
  CHECK(tc_aligned_alloc(runtime, (size_t)1 << 63, 64) == NULL);
  CHECK(tc_alloc(runtime, SIZE_MAX) == NULL);
  CHECK(tc_alloc(runtime, (size_t)INT64_MAX) == NULL);
  CHECK(tc_alloc(runtime, (size_t)1 << 40) == NULL); /* neither tier has it */
  CHECK(tc_calloc(runtime, SIZE_MAX / 2, 3) == NULL);

  char* dirty = tc_alloc(runtime, MIB);
  memset(dirty, 0xff, MIB);
  CHECK_STATUS(tc_free(runtime, dirty), TC_OK);
  char* zeroed = tc_calloc(runtime, 1024, 1024);
  CHECK(zeroed != NULL);
  for (size_t i = 0; zeroed != NULL && i < MIB; ++i) {
    if (zeroed[i] != 0) {
      CHECK(!"calloc gives zeroes");
      break;
    }
  }
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.live_bytes == MIB);
  CHECK(stats.peak_live_bytes >= 40u * MIB);
  CHECK(stats.peak_fast_bytes <= 16u * MIB && stats.fast_budget_bytes == 16u * MIB);
  CHECK(stats.slow_bytes <= 256u * MIB);
  tc_destroy(runtime);
}

static void Foreign(void) {
  tc_runtime* runtime = Make("16MiB");
  tc_runtime* other = Make("8MiB"); /* two runtimes in one process */
  char on_stack[64];
  void* const mine = malloc(100);
  char* const tensor = tc_alloc(runtime, MIB);
  char* const small = tc_alloc(runtime, 100);
  CHECK_STATUS(tc_free(runtime, on_stack), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_free(runtime, mine), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_free(runtime, tensor + 64), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_free(runtime, tensor + 4096), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_free(runtime, tensor + 1), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_free(runtime, small + 1), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_free(runtime, small + 64 * 2), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_free(other, tensor), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_free(runtime, NULL), TC_OK);
  CHECK(tc_usable_size(other, tensor) == 0 && tc_usable_size(runtime, NULL) == 0 && tc_usable_size(runtime, mine) == 0);
  CHECK(tc_realloc(runtime, mine, 10) == NULL);
  CHECK(tc_realloc(runtime, tensor + 64, 10) == NULL);
  CHECK_STATUS(tc_pin(runtime, mine, 10), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_pin(runtime, NULL, 10), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_pin(runtime, tensor, 0), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_pin(runtime, tensor, SIZE_MAX), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_pin(runtime, tensor + 64 * MIB, 10), TC_NOT_FOUND);
  CHECK(tc_unpin(runtime, tensor, MIB) == TC_FAILED_PRECONDITION);
  CHECK_STATUS(tc_prefetch(other, tensor, 10), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_touch(runtime, on_stack, 10, 1), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_pin(runtime, tensor, MIB), TC_OK);
  CHECK_STATUS(tc_unpin(runtime, tensor, MIB), TC_OK);
  CHECK_STATUS(tc_prefetch(runtime, tensor, MIB), TC_OK);
  CHECK_STATUS(tc_touch(runtime, tensor, MIB, 0), TC_OK);
  memset(tensor, 7, MIB);
  tc_destroy(other);
  CHECK(tensor[MIB - 1] == 7); /* the other one's end is nothing to this one */
  CHECK_STATUS(tc_free(runtime, tensor), TC_OK);
  CHECK_STATUS(tc_free(runtime, small), TC_OK);
  free(mine);
  tc_destroy(runtime);
  tc_destroy(NULL);
}

static tc_stats StatsOf(tc_runtime* runtime) {
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  return stats;
}

/* Reading it brings nothing in. */
static void CheckIsFast(tc_runtime* runtime, const char* tensor, size_t bytes, char fill) {
  const uint64_t before = StatsOf(runtime).demand_fetches;
  size_t right = 0;
  while (right < bytes && tensor[right] == fill) ++right;
  CHECK(right == bytes);
  CHECK(StatsOf(runtime).demand_fetches == before);
}

/* What is asked for comes before anybody touches it; what is said to be in use leaves after what is not. */
static void Hints(void) {
  enum { BYTES = 4 * GRANULE, OTHERS = 64 * GRANULE };
  for (int hint = 0; hint < 2; ++hint) {
    tc_runtime* runtime = Make("2MiB"); /* 32 granules */
    char* const wanted = tc_aligned_alloc(runtime, GRANULE, BYTES);
    char* const others = tc_aligned_alloc(runtime, GRANULE, OTHERS);
    memset(wanted, 'w', BYTES);
    memset(others, 'o', OTHERS);
    const uint64_t before = StatsOf(runtime).bytes_in;
    CHECK_STATUS(hint == 0 ? tc_prefetch(runtime, wanted, BYTES) : tc_touch(runtime, wanted, BYTES, 0), TC_OK);
    for (int i = 0; i < 10000 && StatsOf(runtime).bytes_in - before < BYTES; ++i) usleep(1000);
    CHECK(StatsOf(runtime).bytes_in - before >= BYTES);
    CheckIsFast(runtime, wanted, BYTES, 'w');
    tc_destroy(runtime);
  }
  tc_runtime* runtime = Make("2MiB");
  char* const wanted = tc_aligned_alloc(runtime, GRANULE, BYTES);
  char* const others = tc_aligned_alloc(runtime, GRANULE, OTHERS);
  memset(wanted, 'w', BYTES);
  memset(others, 'o', 24 * GRANULE);
  CHECK_STATUS(tc_touch(runtime, wanted, BYTES, 0), TC_OK); /* else it would be the oldest */
  memset(others + 24 * GRANULE, 'o', 12 * GRANULE);
  CHECK(StatsOf(runtime).bytes_out > 0);
  CheckIsFast(runtime, wanted, BYTES, 'w');
  tc_destroy(runtime);
}

static void Realloc(void) {
  tc_runtime* runtime = Make("2MiB");
  char* pointer = tc_realloc(runtime, NULL, 10);
  size_t size = 10;
  memset(pointer, 1, size);
  /* Up past the budget and down again: the common part stays. */
  static const size_t kSizes[] = {100, 5000, 40000, 300000, 5000000, 300000, 4000, 10};
  for (size_t i = 0; i < sizeof(kSizes) / sizeof(kSizes[0]); ++i) {
    pointer = tc_realloc(runtime, pointer, kSizes[i]);
    CHECK(pointer != NULL);
    const size_t common = size < kSizes[i] ? size : kSizes[i];
    for (size_t at = 0; at < common; ++at) {
      if (pointer[at] != (char)(i + 1)) {
        CHECK(!"realloc keeps the common part");
        break;
      }
    }
    size = kSizes[i];
    memset(pointer, (int)(i + 2), size);
  }
  CHECK(tc_realloc(runtime, pointer, (size_t)1 << 40) == NULL);
  CHECK(pointer[0] == 9); /* a failed one leaves the old one alone */
  CHECK_STATUS(tc_free(runtime, pointer), TC_OK);
  tc_destroy(runtime);
}

static void Budget(void) {
  tc_runtime* runtime = Make("4MiB");
  char* tensor = tc_alloc(runtime, 16 * MIB);
  for (int i = 0; i < 16 * MIB; ++i) tensor[i] = (char)(i >> 12);
  static const char* const kWrong[] = {"", "x", "0", "1KiB", "-4MiB", "1000000GiB", "50%"};
  for (size_t i = 0; i < sizeof(kWrong) / sizeof(kWrong[0]); ++i) {
    CHECK_STATUS(tc_set_fast_budget(runtime, kWrong[i]), TC_INVALID_ARGUMENT);
  }
  CHECK_STATUS(tc_set_fast_budget(runtime, NULL), TC_INVALID_ARGUMENT);
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_set_fast_budget(runtime, "1MiB"), TC_OK);
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.fast_bytes <= MIB && stats.fast_budget_bytes == MIB);
  CHECK_STATUS(tc_set_fast_budget(runtime, "8MiB"), TC_OK);
  /* Pinned memory can't leave: an answer, not a hang. */
  CHECK_STATUS(tc_pin(runtime, tensor, 2 * MIB), TC_OK);
  CHECK_STATUS(tc_set_fast_budget(runtime, "1MiB"), TC_FAILED_PRECONDITION);
  CHECK(strstr(tc_last_error(), "pinned") != NULL);
  CHECK_STATUS(tc_unpin(runtime, tensor, 2 * MIB), TC_OK);
  CHECK_STATUS(tc_set_fast_budget(runtime, "1MiB"), TC_OK);
  for (int i = 0; i < 16 * MIB; i += 511) {
    if (tensor[i] != (char)(i >> 12)) {
      CHECK(!"the bytes outlive every budget");
      break;
    }
  }
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.fast_bytes <= MIB);
  tc_destroy(runtime);
}

void TestMemory(void) {
  Memory();
  Foreign();
  Hints();
  Realloc();
  Budget();
}

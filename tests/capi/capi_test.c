/* The C API from C: what users do, and what they do wrong. Every wrong use gets a status and a message, changes
 * nothing, and leaves the process alive. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thermocline/thermocline.h"

static int failures = 0;

#define CHECK(condition)                                                                                        \
  do {                                                                                                          \
    if (!(condition)) {                                                                                         \
      ++failures;                                                                                               \
      fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, #condition, tc_last_error()); \
    }                                                                                                           \
  } while (0)
#define CHECK_STATUS(call, status)                                                                                  \
  do {                                                                                                              \
    const tc_status got = (call);                                                                                   \
    if (got != (status)) {                                                                                          \
      ++failures;                                                                                                   \
      fprintf(stderr, "%s:%d: %s is %s, not %s (last error: %s)\n", __FILE__, __LINE__, #call, tc_status_name(got), \
              tc_status_name(status), tc_last_error());                                                             \
    }                                                                                                               \
  } while (0)

#define SLOW "emulated:in=4GB/s,out=4GB/s,latency=10us,capacity=256MiB"
enum { GRANULE = 64 << 10, MIB = 1 << 20 };

static tc_options Options(const char* fast) {
  tc_options options;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.fast = fast;
  options.slow = SLOW;
  options.granule_bytes = GRANULE;
  return options;
}

static tc_runtime* Make(const char* fast) {
  const tc_options options = Options(fast);
  tc_runtime* runtime = NULL;
  CHECK_STATUS(tc_create(&options, &runtime), TC_OK);
  CHECK(runtime != NULL);
  return runtime;
}

/* Creation fails with the status, its message has the words, and no runtime is made. */
static void Refused(const tc_options* options, tc_status status, const char* words) {
  tc_runtime* runtime = (tc_runtime*)options;
  CHECK_STATUS(tc_create(options, &runtime), status);
  CHECK(runtime == NULL);
  if (strstr(tc_last_error(), words) == NULL) {
    ++failures;
    fprintf(stderr, "'%s' does not say '%s'\n", tc_last_error(), words);
  }
  tc_destroy(runtime);
}

static void RefusedSizes(void) {
  static const char* const kWrong[] = {"", "x", "12 parsecs", "-1GiB", "1e400GiB", "0", "0GiB", "nan", "1GiB2", "20%"};
  for (size_t i = 0; i < sizeof(kWrong) / sizeof(kWrong[0]); ++i) {
    tc_options options = Options(kWrong[i]);
    if (kWrong[i][0] == '\0') continue; /* empty is not given */
    tc_runtime* runtime = NULL;
    const tc_status status = tc_create(&options, &runtime);
    if (status != TC_INVALID_ARGUMENT || runtime != NULL || strlen(tc_last_error()) < 10) {
      ++failures;
      fprintf(stderr, "fast = '%s' gives %s, '%s'\n", kWrong[i], tc_status_name(status), tc_last_error());
    }
    tc_destroy(runtime);
  }
  tc_options options = Options("192KiB"); /* three granules */
  Refused(&options, TC_INVALID_ARGUMENT, "at least 4 granules");
  options = Options("1000000GiB");
  Refused(&options, TC_INVALID_ARGUMENT, "this machine has");
}

static void RefusedOptions(void) {
  tc_options options = Options("16MiB");
  options.struct_size = sizeof(options) - 1;
  Refused(&options, TC_INVALID_ARGUMENT, "struct_size");
  options.struct_size = 0;
  Refused(&options, TC_INVALID_ARGUMENT, "struct_size");
  CHECK_STATUS(tc_create(&options, NULL), TC_INVALID_ARGUMENT);

  static const size_t kGranules[] = {1, 4096, 65535, 3 << 20, (size_t)2 << 30, SIZE_MAX, (size_t)1 << 63};
  for (size_t i = 0; i < sizeof(kGranules) / sizeof(kGranules[0]); ++i) {
    options = Options("16MiB");
    options.granule_bytes = kGranules[i];
    Refused(&options, TC_INVALID_ARGUMENT, "granule_bytes");
  }
  options = Options("16MiB");
  options.planner = "clairvoyant";
  Refused(&options, TC_INVALID_ARGUMENT, "clairvoyant");
  options = Options("16MiB");
  options.plan_in = "/nonexistent/plan.json";
  Refused(&options, TC_NOT_FOUND, "/nonexistent/plan.json");
}

static void RefusedTiers(void) {
  static const char* const kWrong[] = {
      "tape:/dev/st0", "file:", "emulated:in=1GB/s",       "emulated:in=fast,out=1GB/s", "numa:minus",
      "file",          ":",     "file:/var/tmp,colour=red"};
  for (size_t i = 0; i < sizeof(kWrong) / sizeof(kWrong[0]); ++i) {
    tc_options options = Options("16MiB");
    options.slow = kWrong[i];
    Refused(&options, TC_INVALID_ARGUMENT, "");
    CHECK(strlen(tc_last_error()) > 10);
  }
  tc_options options = Options("16MiB");
  options.slow = "file:/nonexistent-directory";
  tc_runtime* runtime = NULL;
  CHECK(tc_create(&options, &runtime) != TC_OK && runtime == NULL);
  CHECK(strstr(tc_last_error(), "/nonexistent-directory") != NULL);
  options.slow = "file:/dev/shm"; /* memory: the promise of the budget would be void */
  CHECK(tc_create(&options, &runtime) != TC_OK && runtime == NULL);
  CHECK(strstr(tc_last_error(), "/dev/shm") != NULL);
  options.slow = "file:/proc";
  CHECK(tc_create(&options, &runtime) != TC_OK && runtime == NULL);
  CHECK(strstr(tc_last_error(), "/proc") != NULL);
}

static void UnwritableDirectory(void) {
  if (geteuid() != 0) return; /* the child below needs to become someone else */
  char directory[] = "/var/tmp/tc-unwritable-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  chmod(directory, 0700);
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(65534) != 0) _exit(9);
    char slow[128];
    snprintf(slow, sizeof(slow), "file:%s", directory);
    tc_options options = Options("16MiB");
    options.slow = slow;
    tc_runtime* runtime = NULL;
    const tc_status status = tc_create(&options, &runtime);
    _exit(status != TC_OK && runtime == NULL && strstr(tc_last_error(), directory) != NULL ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  rmdir(directory);
}

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

enum { LAYERS = 8, TENSOR = 512 << 10 };

/* A step whose tensors live over several layers: 4.5 MiB at its peak. */
static void Layers(tc_runtime* runtime, char mark) {
  char* saved[LAYERS];
  for (int i = 0; i < LAYERS; ++i) {
    CHECK_STATUS(tc_add_named_layer(runtime, "forward"), TC_OK);
    saved[i] = tc_alloc(runtime, TENSOR);
    memset(saved[i], mark + i, TENSOR);
    char* scratch = tc_alloc(runtime, TENSOR);
    memcpy(scratch, saved[i], TENSOR);
    CHECK_STATUS(tc_free(runtime, scratch), TC_OK);
  }
  for (int i = LAYERS - 1; i >= 0; --i) {
    CHECK_STATUS(tc_add_layer(runtime), TC_OK);
    CHECK(saved[i][0] == (char)(mark + i) && saved[i][TENSOR - 1] == (char)(mark + i));
    CHECK_STATUS(tc_free(runtime, saved[i]), TC_OK);
  }
}

static void MarkedStep(tc_runtime* runtime, char mark) {
  CHECK_STATUS(tc_begin_step(runtime), TC_OK);
  Layers(runtime, mark);
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
}

static void WrongOrder(void) {
  tc_runtime* runtime = Make("2MiB");
  CHECK_STATUS(tc_end_profile(runtime), TC_FAILED_PRECONDITION);
  CHECK(strstr(tc_last_error(), "start_profile") != NULL);
  CHECK_STATUS(tc_end_step(runtime), TC_FAILED_PRECONDITION);
  CHECK_STATUS(tc_add_layer(runtime), TC_OK); /* in no step: nothing to mark */
  CHECK_STATUS(tc_add_named_layer(runtime, NULL), TC_OK);
  CHECK_STATUS(tc_start_profile(runtime), TC_OK);
  CHECK_STATUS(tc_start_profile(runtime), TC_FAILED_PRECONDITION);
  Layers(runtime, 'a');
  CHECK_STATUS(tc_end_profile(runtime), TC_OK);
  CHECK_STATUS(tc_end_profile(runtime), TC_FAILED_PRECONDITION);
  for (int i = 0; i < 3; ++i) Layers(runtime, 'b');
  for (int i = 0; i < 40; ++i) CHECK_STATUS(tc_add_layer(runtime), TC_OK); /* out of step */
  for (int i = 0; i < 3; ++i) Layers(runtime, 'c');
  tc_destroy(runtime);

  runtime = Make("2MiB");
  CHECK_STATUS(tc_start_profile(runtime), TC_OK);
  CHECK_STATUS(tc_begin_step(runtime), TC_OK); /* marks say it better: they take over */
  CHECK_STATUS(tc_begin_step(runtime), TC_FAILED_PRECONDITION);
  Layers(runtime, 'd');
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
  CHECK_STATUS(tc_end_profile(runtime), TC_OK);
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 'e');
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.matched_allocations > 0 && stats.steps == 5);
  /* A step with other layers than were profiled, and one that ends at once. */
  CHECK_STATUS(tc_begin_step(runtime), TC_OK);
  for (int i = 0; i < 100; ++i) CHECK_STATUS(tc_add_layer(runtime), TC_OK);
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
  CHECK_STATUS(tc_begin_step(runtime), TC_OK);
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
  for (int i = 0; i < 3; ++i) MarkedStep(runtime, 'f');
  tc_destroy(runtime);
}

static int EntriesIn(const char* directory) {
  int count = 0;
  DIR* listing = opendir(directory);
  for (struct dirent* entry; (entry = readdir(listing)) != NULL;) count += entry->d_name[0] != '.';
  closedir(listing);
  return count;
}

static void Files(void) {
  char directory[] = "/var/tmp/tc-files-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  char profile[128], plan[128], log[128];
  snprintf(profile, sizeof(profile), "%s/profile.json", directory);
  snprintf(plan, sizeof(plan), "%s/plan.json", directory);
  snprintf(log, sizeof(log), "%s/run.json", directory);

  tc_runtime* runtime = Make("2MiB");
  CHECK_STATUS(tc_save_profile(runtime, profile), TC_FAILED_PRECONDITION);
  CHECK_STATUS(tc_save_plan(runtime, plan), TC_FAILED_PRECONDITION);
  CHECK(EntriesIn(directory) == 0);
  CHECK_STATUS(tc_save_run_log(runtime, log), TC_OK); /* no step yet is no error */
  CHECK_STATUS(tc_save_profile(runtime, NULL), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_save_plan(runtime, NULL), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_save_run_log(runtime, NULL), TC_INVALID_ARGUMENT);
  for (int i = 0; i < 8; ++i) MarkedStep(runtime, (char)('a' + i));
  CHECK_STATUS(tc_save_profile(runtime, profile), TC_OK);
  CHECK_STATUS(tc_save_plan(runtime, plan), TC_OK);
  CHECK_STATUS(tc_save_run_log(runtime, log), TC_OK);
  CHECK(EntriesIn(directory) == 3); /* no temporary file is left */
  CHECK(tc_save_plan(runtime, "/nonexistent/plan.json") != TC_OK);
  CHECK(strstr(tc_last_error(), "/nonexistent/plan.json") != NULL);
  CHECK(tc_save_run_log(runtime, "/proc/run.json") != TC_OK);
  tc_destroy(runtime);

  /* The same program with the plan: placed without a profiled step. */
  tc_options options = Options("2MiB");
  options.plan_in = plan;
  CHECK_STATUS(tc_create(&options, &runtime), TC_OK);
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 'x');
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.matched_allocations > 0 && stats.mismatched_allocations == 0);
  CHECK(stats.peak_fast_bytes <= 2 * MIB);
  tc_destroy(runtime);

  options.fast = "1MiB";
  Refused(&options, TC_INVALID_ARGUMENT, "budget");
  options.fast = "4MiB";
  options.granule_bytes = 128 << 10;
  Refused(&options, TC_INVALID_ARGUMENT, "granules");
  options = Options("2MiB");
  options.plan_in = profile; /* not a plan */
  Refused(&options, TC_INVALID_ARGUMENT, "profile.json");
  FILE* file = fopen(plan, "r+");
  CHECK(file != NULL && fseek(file, 40, SEEK_SET) == 0 && fputs("}}}}", file) >= 0);
  fclose(file);
  options.plan_in = plan; /* damaged */
  Refused(&options, TC_INVALID_ARGUMENT, "plan.json");
  unlink(profile);
  unlink(plan);
  unlink(log);
  CHECK(rmdir(directory) == 0);
}

static void Statistics(void) {
  tc_runtime* runtime = Make("2MiB");
  tc_stats stats = {.struct_size = sizeof(stats) - 8};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_get_stats(runtime, NULL), TC_INVALID_ARGUMENT);
  stats.struct_size = sizeof(stats);
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 's');
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.steps == 4 && stats.bytes_in > 0 && stats.bytes_out > 0 && stats.live_bytes == 0);
  CHECK(stats.peak_fast_bytes <= stats.fast_budget_bytes);
  tc_destroy(runtime);
  for (int status = 0; status <= 7; ++status) CHECK(strcmp(tc_status_name((tc_status)status), "UNKNOWN") != 0);
  CHECK(strcmp(tc_status_name((tc_status)99), "UNKNOWN") == 0);
  CHECK(strlen(tc_version()) >= 5);
}

static void Verified(void) {
  tc_options options = Options("2MiB");
  options.verify = 1;
  tc_runtime* runtime = NULL;
  CHECK_STATUS(tc_create(&options, &runtime), TC_OK);
  for (int i = 0; i < 5; ++i) MarkedStep(runtime, 'v');
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.bytes_out > 0 && stats.io_errors == 0);
  tc_destroy(runtime);
}

static void Off(void) {
  setenv("THERMOCLINE", "off", 1);
  tc_runtime* runtime = Make("2MiB");
  char* pointer = tc_alloc(runtime, 100);
  pointer = tc_realloc(runtime, pointer, 1000);
  CHECK(pointer != NULL);
  CHECK_STATUS(tc_start_profile(runtime), TC_OK);
  CHECK_STATUS(tc_add_layer(runtime), TC_OK);
  CHECK_STATUS(tc_end_profile(runtime), TC_OK);
  CHECK_STATUS(tc_begin_step(runtime), TC_OK);
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
  CHECK_STATUS(tc_pin(runtime, pointer, 10), TC_OK);
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK_STATUS(tc_free(runtime, pointer), TC_OK);
  tc_destroy(runtime);
  setenv("THERMOCLINE", "maybe", 1);
  tc_options options = Options("2MiB");
  Refused(&options, TC_INVALID_ARGUMENT, "THERMOCLINE");
  unsetenv("THERMOCLINE");
}

static void Default(void) {
  setenv("THERMOCLINE_FAST", "lots", 1);
  CHECK(tc_default() == NULL);
  CHECK(strstr(tc_last_error(), "THERMOCLINE_FAST") != NULL);
  CHECK(tc_alloc(NULL, 10) == NULL);
  CHECK(tc_add_layer(NULL) == TC_INVALID_ARGUMENT);
  setenv("THERMOCLINE_FAST", "4MiB", 1);
  setenv("THERMOCLINE_GRANULE", "64KiB", 1);
  setenv("THERMOCLINE_SLOW", SLOW, 1);
  char* pointer = tc_alloc(NULL, 8 * MIB); /* mended: the next use makes it */
  CHECK(pointer != NULL);
  memset(pointer, 1, 8 * MIB);
  CHECK(tc_usable_size(tc_default(), pointer) >= 8 * MIB);
  tc_destroy(tc_default()); /* nothing happens: threads may use it until the end */
  CHECK(pointer[8 * MIB - 1] == 1);
  CHECK_STATUS(tc_free(NULL, pointer), TC_OK);
}

int main(void) {
  Statistics(); /* with the link measured at start; from here on it is known, which is quicker */
  setenv("THERMOCLINE_LINK", "in=4GB/s,out=4GB/s", 1);
  RefusedSizes();
  RefusedOptions();
  RefusedTiers();
  UnwritableDirectory();
  Memory();
  Foreign();
  Realloc();
  Budget();
  WrongOrder();
  Files();
  Verified();
  Off();
  Default();
  if (failures == 0) printf("all is as thermocline.h says\n");
  return failures == 0 ? 0 : 1;
}

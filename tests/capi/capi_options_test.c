/* The C API: what tc_create refuses, and how; the pass-through; the default runtime. */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/capi/capi_test.h"

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
  options.fast = "256KiB"; /* too few granules to plan with: a wrong name is one all the same */
  Refused(&options, TC_INVALID_ARGUMENT, "clairvoyant");
  options = Options("16MiB");
  options.plan_in = "/nonexistent/plan.json";
  Refused(&options, TC_NOT_FOUND, "/nonexistent/plan.json");
}

static void RefusedSwitches(void) {
  static const char* const kSwitches[] = {"THERMOCLINE_VERIFY", "THERMOCLINE_HELD_FRAMES", "THERMOCLINE_KERNEL_FAULTS"};
  for (size_t i = 0; i < sizeof(kSwitches) / sizeof(kSwitches[0]); ++i) {
    const tc_options options = Options("16MiB");
    setenv(kSwitches[i], "perhaps", 1);
    Refused(&options, TC_INVALID_ARGUMENT, kSwitches[i]);
    setenv(kSwitches[i], "off", 1);
    tc_destroy(Make("16MiB"));
    unsetenv(kSwitches[i]);
  }
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
  if (geteuid() != 0) {
    printf("capi_test: Skipped\nneeds root, to become a user who may not write there\n[  SKIPPED ]\n");
    return;
  }
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

void TestOptions(void) {
  RefusedSizes();
  RefusedOptions();
  RefusedSwitches();
  RefusedTiers();
  UnwritableDirectory();
  Off();
  Default();
}

/* The C API from C: what users do, and what they do wrong. Every wrong use gets a status and a message, changes
 * nothing, and leaves the process alive. */
#define _GNU_SOURCE
#include "tests/capi/capi_test.h"

int failures = 0;

tc_options Options(const char* fast) {
  tc_options options;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.fast = fast;
  options.slow = SLOW;
  options.granule_bytes = GRANULE;
  return options;
}

tc_runtime* Make(const char* fast) {
  const tc_options options = Options(fast);
  tc_runtime* runtime = NULL;
  CHECK_STATUS(tc_create(&options, &runtime), TC_OK);
  CHECK(runtime != NULL);
  return runtime;
}

void Refused(const tc_options* options, tc_status status, const char* words) {
  tc_runtime* runtime = (tc_runtime*)options;
  CHECK_STATUS(tc_create(options, &runtime), status);
  CHECK(runtime == NULL);
  if (strstr(tc_last_error(), words) == NULL) {
    ++failures;
    fprintf(stderr, "'%s' does not say '%s'\n", tc_last_error(), words);
  }
  tc_destroy(runtime);
}

int main(void) {
  TestStatistics();
  setenv("THERMOCLINE_LINK", "in=4GB/s,out=4GB/s", 1); /* from here on it is known, which is quicker */
  TestOptions();
  TestMemory();
  TestSteps();
  if (failures == 0) printf("all is as thermocline.h says\n");
  return failures == 0 ? 0 : 1;
}

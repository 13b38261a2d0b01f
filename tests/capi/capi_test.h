/* What the tests of the C API share: checks that count failures, and a small runtime on an emulated slow tier. */
#ifndef THERMOCLINE_TESTS_CAPI_CAPI_TEST_H_
#define THERMOCLINE_TESTS_CAPI_CAPI_TEST_H_

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "thermocline/thermocline.h"

extern int failures;

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

tc_options Options(const char* fast);
tc_runtime* Make(const char* fast);
/* Creation fails with the status, its message has the words, and no runtime is made. */
void Refused(const tc_options* options, tc_status status, const char* words);

/* Each reports what it finds by CHECK. */
void TestOptions(void);
void TestMemory(void);
void TestSteps(void);
/* With the link measured at start, in contrast to the others. */
void TestStatistics(void);

#endif /* THERMOCLINE_TESTS_CAPI_CAPI_TEST_H_ */

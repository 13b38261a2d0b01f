/* Included in front of the scenarios: what they allocate is a tensor of the default runtime, and locked is pinned. */
#ifndef THERMOCLINE_TESTS_ADAPTERS_CALLS_AS_TENSORS_H_
#define THERMOCLINE_TESTS_ADAPTERS_CALLS_AS_TENSORS_H_

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "thermocline/thermocline.h"

#define malloc(bytes) tc_alloc(NULL, bytes)
#define free(pointer) tc_free(NULL, pointer)
#define mlock(pointer, bytes) (tc_pin(NULL, pointer, bytes) == TC_OK ? 0 : -1)
#define munlock(pointer, bytes) tc_unpin(NULL, pointer, bytes)

#endif /* THERMOCLINE_TESTS_ADAPTERS_CALLS_AS_TENSORS_H_ */

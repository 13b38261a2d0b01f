// RealCalls: the allocation and mapping functions that this library stands in front of, as the next library in the
// search order has them.
//
// Thread safety: any thread, from the first instruction of the process on (the dynamic loader calls malloc before any
// constructor runs), and from signal handlers once the library's constructor has run.
// Errors: a function that no library has is nullptr; every libc that Thermocline runs on has all of them.
#ifndef THERMOCLINE_ADAPTERS_PRELOAD_REAL_CALLS_H_
#define THERMOCLINE_ADAPTERS_PRELOAD_REAL_CALLS_H_

#include <pthread.h>
#include <stddef.h>

namespace thermocline::preload {

// name, result, parameters.
#define THERMOCLINE_REAL_ALLOCATION_CALLS(X)       \
  X(malloc, void*, (size_t))                       \
  X(calloc, void*, (size_t, size_t))               \
  X(realloc, void*, (void*, size_t))               \
  X(free, void, (void*))                           \
  X(posix_memalign, int, (void**, size_t, size_t)) \
  X(aligned_alloc, void*, (size_t, size_t))        \
  X(memalign, void*, (size_t, size_t))             \
  X(malloc_usable_size, size_t, (void*))           \
  X(madvise, int, (void*, size_t, int))            \
  X(posix_madvise, int, (void*, size_t, int))      \
  X(mprotect, int, (void*, size_t, int))           \
  X(mlock, int, (const void*, size_t))             \
  X(munlock, int, (const void*, size_t))           \
  X(pthread_attr_setstack, int, (pthread_attr_t*, void*, size_t))

struct RealCalls {
// NOLINTNEXTLINE(bugprone-macro-parentheses): types and parameter lists, not expressions
#define THERMOCLINE_DECLARE(name, result, parameters) result(*name) parameters = nullptr;
  THERMOCLINE_REAL_ALLOCATION_CALLS(THERMOCLINE_DECLARE)
#undef THERMOCLINE_DECLARE
};

// Looks them up on the first call. While that is under way, `malloc` and its like serve the lookup itself from a small
// static block.
const RealCalls& Real();

// True for a pointer into that static block, which is never freed.
bool IsBootstrapPointer(const void* pointer);

}  // namespace thermocline::preload

#endif  // THERMOCLINE_ADAPTERS_PRELOAD_REAL_CALLS_H_

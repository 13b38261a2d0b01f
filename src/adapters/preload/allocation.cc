// malloc and its family: allocations from the threshold up are the runtime's, the rest go to the next malloc.
//
// operator new and delete of libstdc++ call malloc and free, so they come here too. A thread that is inside the runtime
// gets the next malloc: the runtime never allocates from itself.

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "src/adapters/calls/calls.h"
#include "src/adapters/preload/placement.h"
#include "src/adapters/preload/real_calls.h"
#include "src/capi/handle.h"

namespace thermocline::preload {
namespace {

constexpr size_t kCacheLine = 64;

bool IsPowerOfTwo(size_t value) { return value != 0 && (value & (value - 1)) == 0; }

// nullptr when the runtime can't be had: the caller then turns to the next malloc.
tc_runtime* RuntimeFor(size_t bytes) { return IsPlaced(bytes) ? Runtime() : nullptr; }

void* OutOfMemory() {
  errno = ENOMEM;
  return nullptr;
}

// Beyond any machine, and far from where rounding up would overflow.
constexpr size_t kMost = size_t{1} << 56;

// Said once: what the program makes of its refusal may be less clear, or nothing.
void SayNoRoom(size_t bytes) {
  static std::atomic<bool> said{false};
  if (said.exchange(true)) return;
  char detail[160];
  snprintf(detail, sizeof(detail),
           "%zu bytes: the program is told that there is no memory. Raise --fast, or name a slow "
           "tier with more space",
           bytes);
  Complain("no room in the fast and the slow tier for ", detail);
}

// As tc_aligned_alloc, with the call site: a rhythm is made of sizes and sites.
void* Place(tc_runtime* runtime, size_t alignment, size_t bytes, const void* site) {
  const Inside inside;
  if (bytes > kMost || alignment > kMost) return OutOfMemory();
  void* pointer = runtime->runtime->Allocate(Bytes(static_cast<int64_t>(bytes)),
                                             Bytes(static_cast<int64_t>(std::max(alignment, kCacheLine))), site);
  if (pointer != nullptr) return Own(pointer, bytes);
  SayNoRoom(bytes);
  return OutOfMemory();
}

void Release(void* pointer) {
  const int saved = errno;
  const Inside inside;
  if (tc_free(Runtime(), pointer) != TC_OK) {
    static bool said = false;
    if (!said)
      Complain("free() of a pointer that is not allocated, or was freed before, did nothing: ", tc_last_error());
    said = true;
  }
  errno = saved;
}

size_t UsableSize(void* pointer) {
  const Inside inside;
  return tc_usable_size(Runtime(), pointer);
}

void* AllocateAligned(size_t alignment, size_t bytes, const void* site) {
  tc_runtime* runtime = RuntimeFor(bytes);
  return runtime != nullptr ? Place(runtime, alignment, bytes, site) : Real().memalign(alignment, bytes);
}

// From the runtime to the next malloc.
void* MoveOut(void* pointer, size_t bytes) {
  void* fresh = Real().malloc(bytes);
  if (fresh == nullptr) return nullptr;
  const size_t had = UsableSize(pointer);
  memcpy(fresh, pointer, had < bytes ? had : bytes);
  Release(pointer);
  return fresh;
}

// From the next malloc to the runtime.
void* MoveIn(tc_runtime* runtime, void* pointer, size_t bytes) {
  void* fresh = Place(runtime, kCacheLine, bytes, nullptr);
  if (fresh == nullptr) return nullptr;
  const size_t had = Real().malloc_usable_size(pointer);
  memcpy(fresh, pointer, had < bytes ? had : bytes);
  Real().free(pointer);
  return fresh;
}

void* Resize(void* pointer, size_t bytes) {
  // Placed once, an allocation stays so until it is much smaller: one that grows and shrinks is not copied each time.
  if (bytes < g_threshold / 2 || !g_placing.load(std::memory_order_relaxed)) return MoveOut(pointer, bytes);
  const Inside inside;
  void* fresh = tc_realloc(Runtime(), pointer, bytes);
  if (fresh == nullptr) SayNoRoom(bytes);
  return fresh != nullptr ? Own(fresh, bytes) : OutOfMemory();
}

void* Reallocate(void* pointer, size_t bytes) {
  if (IsOurs(pointer)) return Resize(pointer, bytes);
  if (IsBootstrapPointer(pointer)) {
    void* fresh = malloc(bytes);
    const size_t had = static_cast<size_t*>(pointer)[-1];
    return fresh != nullptr ? memcpy(fresh, pointer, had < bytes ? had : bytes) : nullptr;
  }
  tc_runtime* runtime = RuntimeFor(bytes);
  return runtime != nullptr ? MoveIn(runtime, pointer, bytes) : Real().realloc(pointer, bytes);
}

}  // namespace
}  // namespace thermocline::preload

// The definitions that programs see.
namespace preload = thermocline::preload;
using preload::Real;

THERMOCLINE_INTERPOSED void* malloc(size_t bytes) {
  if (tc_runtime* runtime = preload::RuntimeFor(bytes)) {
    return preload::Place(runtime, preload::kCacheLine, bytes, __builtin_return_address(0));
  }
  return Real().malloc(bytes);
}

THERMOCLINE_INTERPOSED void free(void* pointer) {
  if (pointer == nullptr || preload::IsBootstrapPointer(pointer)) return;
  if (preload::IsOurs(pointer)) return preload::Release(pointer);
  Real().free(pointer);
}

THERMOCLINE_INTERPOSED void* calloc(size_t count, size_t bytes) {
  size_t total = 0;
  if (__builtin_mul_overflow(count, bytes, &total)) return preload::OutOfMemory();
  if (tc_runtime* runtime = preload::RuntimeFor(total)) {
    void* pointer = preload::Place(runtime, preload::kCacheLine, total, __builtin_return_address(0));
    // Frames are recycled as they are.
    return pointer != nullptr ? memset(pointer, 0, total) : nullptr;
  }
  return Real().calloc(count, bytes);
}

THERMOCLINE_INTERPOSED void* realloc(void* pointer, size_t bytes) {
  if (pointer == nullptr) return malloc(bytes);
  if (bytes == 0) {  // as glibc has it
    free(pointer);
    return nullptr;
  }
  return preload::Reallocate(pointer, bytes);
}

THERMOCLINE_INTERPOSED void* reallocarray(void* pointer, size_t count, size_t bytes) {
  size_t total = 0;
  return __builtin_mul_overflow(count, bytes, &total) ? preload::OutOfMemory() : realloc(pointer, total);
}

THERMOCLINE_INTERPOSED int posix_memalign(void** out, size_t alignment, size_t bytes) {
  if (!preload::IsPowerOfTwo(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  tc_runtime* runtime = preload::RuntimeFor(bytes);
  if (runtime == nullptr) return Real().posix_memalign(out, alignment, bytes);
  const int saved = errno;  // this one returns its error and leaves errno alone
  void* pointer = preload::Place(runtime, alignment, bytes, __builtin_return_address(0));
  errno = saved;
  if (pointer == nullptr) return ENOMEM;
  *out = pointer;
  return 0;
}

THERMOCLINE_INTERPOSED void* aligned_alloc(size_t alignment, size_t bytes) {
  if (!preload::IsPowerOfTwo(alignment)) return Real().aligned_alloc(alignment, bytes);
  return preload::AllocateAligned(alignment, bytes, __builtin_return_address(0));
}

THERMOCLINE_INTERPOSED void* memalign(size_t alignment, size_t bytes) {
  if (!preload::IsPowerOfTwo(alignment)) return Real().memalign(alignment, bytes);
  return preload::AllocateAligned(alignment, bytes, __builtin_return_address(0));
}

THERMOCLINE_INTERPOSED void* valloc(size_t bytes) {
  return preload::AllocateAligned(static_cast<size_t>(getpagesize()), bytes, __builtin_return_address(0));
}

THERMOCLINE_INTERPOSED void* pvalloc(size_t bytes) {
  const auto page = static_cast<size_t>(getpagesize());
  return bytes > SIZE_MAX - page ? preload::OutOfMemory() : valloc((bytes + page - 1) / page * page);
}

THERMOCLINE_INTERPOSED size_t malloc_usable_size(void* pointer) {
  if (pointer == nullptr) return 0;
  if (preload::IsBootstrapPointer(pointer)) return static_cast<size_t*>(pointer)[-1];
  return preload::IsOurs(pointer) ? preload::UsableSize(pointer) : Real().malloc_usable_size(pointer);
}

#include "src/adapters/preload/real_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include <atomic>
#include <cstdint>

namespace thermocline::preload {
namespace {

// dlsym may allocate (its error text, its thread's state) before the functions that allocate are known.
alignas(64) char g_block[64 << 10];
std::atomic<size_t> g_block_used{0};

void* BootstrapAllocate(size_t alignment, size_t bytes) {
  if (bytes > sizeof(g_block)) return nullptr;
  if (alignment < 16) alignment = 16;
  // The header keeps the size for realloc. Never freed, so taking more than is needed is harmless.
  const size_t wanted = (bytes + 16 + alignment + 15) / 16 * 16;
  const size_t at = g_block_used.fetch_add(wanted);
  if (at + wanted > sizeof(g_block)) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(g_block + at);
  const uintptr_t user = (begin + 16 + alignment - 1) / alignment * alignment;
  reinterpret_cast<size_t*>(user)[-1] = bytes;
  return reinterpret_cast<void*>(user);
}

void* BootstrapMalloc(size_t bytes) { return BootstrapAllocate(16, bytes); }
void* BootstrapCalloc(size_t count, size_t bytes) {
  size_t total = 0;
  return __builtin_mul_overflow(count, bytes, &total) ? nullptr : BootstrapAllocate(16, total);  // static: all zeros
}
void* BootstrapRealloc(void* old, size_t bytes) {
  void* fresh = BootstrapAllocate(16, bytes);
  if (old == nullptr || fresh == nullptr) return fresh;
  const size_t had = static_cast<size_t*>(old)[-1];
  return memcpy(fresh, old, had < bytes ? had : bytes);
}
void BootstrapFree(void*) {}
int BootstrapPosixMemalign(void** out, size_t alignment, size_t bytes) {
  *out = BootstrapAllocate(alignment, bytes);
  return *out != nullptr ? 0 : ENOMEM;
}
size_t BootstrapUsableSize(void* pointer) { return static_cast<size_t*>(pointer)[-1]; }

RealCalls g_bootstrap;  // constant-initialised to nothing, filled on the first call
RealCalls g_real;
enum : int { kUnknown, kLooking, kKnown };
std::atomic<int> g_state{kUnknown};

void FillBootstrap() {
  g_bootstrap.malloc = BootstrapMalloc;
  g_bootstrap.calloc = BootstrapCalloc;
  g_bootstrap.realloc = BootstrapRealloc;
  g_bootstrap.free = BootstrapFree;
  g_bootstrap.posix_memalign = BootstrapPosixMemalign;
  g_bootstrap.aligned_alloc = BootstrapAllocate;
  g_bootstrap.memalign = BootstrapAllocate;
  g_bootstrap.malloc_usable_size = BootstrapUsableSize;
}

template <typename Function>
void LookUp(const char* name, Function** function) {
  *function = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// The first call comes from the dynamic loader, or from this library's constructor, before there is a second thread.
const RealCalls& Real() {
  const int state = g_state.load(std::memory_order_acquire);
  if (state == kKnown) [[likely]]
    return g_real;
  if (state == kLooking) return g_bootstrap;
  FillBootstrap();
  g_state.store(kLooking, std::memory_order_release);
#define THERMOCLINE_LOOK_UP(name, result, parameters) LookUp(#name, &g_real.name);
  THERMOCLINE_REAL_ALLOCATION_CALLS(THERMOCLINE_LOOK_UP)
#undef THERMOCLINE_LOOK_UP
  g_state.store(kKnown, std::memory_order_release);
  return g_real;
}

bool IsBootstrapPointer(const void* pointer) {
  return pointer >= static_cast<const void*>(g_block) && pointer < static_cast<const void*>(g_block + sizeof(g_block));
}

}  // namespace thermocline::preload

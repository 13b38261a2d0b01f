// Placement: whether this process's large allocations are placed, and which addresses are the runtime's.
//
// Settings come by environment: THERMOCLINE=off and everything passes through; THERMOCLINE_THRESHOLD is the size from
// which an allocation is placed (256KiB); THERMOCLINE_CHILDREN=0 keeps programs that this one starts from being placed
// too; THERMOCLINE_STATS is a file to which a line of JSON is added at exit. The rest is the runtime's (thermocline.h).
// Thread safety: any thread. Errors: settings that make no sense are said on stderr once, and nothing is placed then.
#ifndef THERMOCLINE_ADAPTERS_PRELOAD_PLACEMENT_H_
#define THERMOCLINE_ADAPTERS_PRELOAD_PLACEMENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "src/adapters/calls/calls.h"
#include "thermocline/thermocline.h"

namespace thermocline::preload {

extern THERMOCLINE_CALLS_THREAD_LOCAL int t_inside;
// The addresses handed out so far, which all lie in the runtime's one reservation, where nothing else is ever mapped.
extern std::atomic<uintptr_t> g_begin, g_end;
extern std::atomic<bool> g_placing;
extern size_t g_threshold;

// While one lives, this thread is inside the runtime: what it allocates comes from the next malloc.
class Inside {
 public:
  Inside() { ++t_inside; }
  ~Inside() { --t_inside; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

// Whether an allocation of `bytes`, made now by this thread, is the runtime's to place.
inline bool IsPlaced(size_t bytes) {
  return bytes >= g_threshold && g_placing.load(std::memory_order_relaxed) && t_inside == 0;
}

// Whether the address is in memory that the runtime handed out. One comparison for a foreign address.
inline bool IsOurs(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  return at < g_end.load(std::memory_order_relaxed) && at >= g_begin.load(std::memory_order_relaxed);
}

// The default runtime, made on first use; nullptr when it can't be had, and then g_placing is false from now on.
tc_runtime* Runtime();
// Notes an address that the runtime handed out. nullptr is fine.
void* Own(void* pointer, size_t bytes);

// "thermocline: MESSAGE" on stderr, without allocating.
void Complain(const char* message, const char* detail = "");

}  // namespace thermocline::preload

#endif  // THERMOCLINE_ADAPTERS_PRELOAD_PLACEMENT_H_

// MemoryOwner: which runtime's memory an address is in, for whoever stands between a program and the kernel.
//
// Thread safety: any thread, and signal handlers. Takes no lock and allocates nothing.
// Ownership: a runtime is known from AddMemoryOwner to RemoveMemoryOwner, which waits for every MemoryOwner that names
// it.
#ifndef THERMOCLINE_RUNTIME_MEMORY_OWNER_H_
#define THERMOCLINE_RUNTIME_MEMORY_OWNER_H_

#include <atomic>
#include <cstdint>

#include "src/base/units.h"

namespace thermocline::runtime {

class Runtime;
struct OwnedMemory;

// From the lowest to the highest address that any runtime of this process has had.
extern std::atomic<uintptr_t> g_owned_begin, g_owned_end;
bool IsOwnedWithin(const void* address);

// Whether the address is in a live runtime's reservation, where nothing else is ever mapped. One or two comparisons for
// a foreign address.
inline bool IsOwned(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  return at < g_owned_end.load(std::memory_order_relaxed) && at >= g_owned_begin.load(std::memory_order_relaxed) &&
         IsOwnedWithin(address);
}

// The runtime in whose memory the address is. Its destruction waits as long as this lives: be short.
class MemoryOwner {
 public:
  explicit MemoryOwner(const void* address);
  ~MemoryOwner();
  MemoryOwner(const MemoryOwner&) = delete;
  MemoryOwner& operator=(const MemoryOwner&) = delete;

  // nullptr: no live runtime's.
  Runtime* runtime() const { return runtime_; }

 private:
  OwnedMemory* memory_ = nullptr;
  Runtime* runtime_ = nullptr;
};

// REQUIRES: [begin, begin + bytes) is registered for the runtime's faults, from before this to after RemoveMemoryOwner.
void AddMemoryOwner(Runtime* runtime, const void* begin, Bytes bytes);
// The runtime is used by no call any more when this returns. Nothing happens for one that was not added.
void RemoveMemoryOwner(Runtime* runtime);
// In a forked child, where the threads don't exist whose calls were under way.
void ForgetMemoryUsersAfterFork();

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_MEMORY_OWNER_H_

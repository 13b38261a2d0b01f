#include "src/runtime/memory_owner.h"

#include <array>

#include "src/os/futex.h"

namespace thermocline::runtime {

// A runtime's place in the list. `runtime` is set last and cleared first.
struct OwnedMemory {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<Runtime*> runtime{nullptr};
  std::atomic<uint32_t> users{0};

  bool Holds(const void* address) const {
    const auto at = reinterpret_cast<uintptr_t>(address);
    return runtime.load() != nullptr && at >= begin.load(std::memory_order_relaxed) &&
           at < end.load(std::memory_order_relaxed);
  }
};

std::atomic<uintptr_t> g_owned_begin{UINTPTR_MAX}, g_owned_end{0};

namespace {

// As many as os/fault_signal knows ranges, of which every runtime here has one.
constexpr size_t kMostRuntimes = 64;
constexpr int64_t kPollNanos = 100'000;

std::array<OwnedMemory, kMostRuntimes> g_memories;
std::atomic<size_t> g_ever_taken{0};  // the first so many have been used

// The bounds only grow: a runtime that lives is never outside of them, not for a moment.
void WidenBounds(uintptr_t begin, uintptr_t end) {
  uintptr_t known = g_owned_begin.load();
  while (begin < known && !g_owned_begin.compare_exchange_weak(known, begin)) {
  }
  known = g_owned_end.load();
  while (end > known && !g_owned_end.compare_exchange_weak(known, end)) {
  }
}

void NoteTaken(size_t index) {
  size_t known = g_ever_taken.load();
  while (index >= known && !g_ever_taken.compare_exchange_weak(known, index + 1)) {
  }
}

OwnedMemory* Find(const void* address) {
  const size_t count = g_ever_taken.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) {
    if (g_memories[i].Holds(address)) return &g_memories[i];
  }
  return nullptr;
}

}  // namespace

bool IsOwnedWithin(const void* address) { return Find(address) != nullptr; }

MemoryOwner::MemoryOwner(const void* address) {
  memory_ = Find(address);
  if (memory_ == nullptr) return;
  // First the count, then the look whether it is still there: who removes it clears first, and counts then.
  memory_->users.fetch_add(1);
  if (memory_->Holds(address)) runtime_ = memory_->runtime.load();
}

MemoryOwner::~MemoryOwner() {
  if (memory_ != nullptr) memory_->users.fetch_sub(1);
}

void AddMemoryOwner(Runtime* runtime, const void* begin, Bytes bytes) {
  for (size_t i = 0; i < g_memories.size(); ++i) {
    OwnedMemory& memory = g_memories[i];
    if (memory.taken.exchange(true)) continue;
    const auto at = reinterpret_cast<uintptr_t>(begin);
    memory.begin.store(at);
    memory.end.store(at + static_cast<uintptr_t>(bytes.count()));
    memory.runtime.store(runtime);
    NoteTaken(i);
    WidenBounds(at, at + static_cast<uintptr_t>(bytes.count()));
    return;
  }
}

void RemoveMemoryOwner(Runtime* runtime) {
  for (OwnedMemory& memory : g_memories) {
    if (memory.runtime.load() != runtime) continue;
    memory.runtime.store(nullptr);
    for (uint32_t users = memory.users.load(); static_cast<int32_t>(users) > 0; users = memory.users.load()) {
      os::FutexWait(memory.users, users, kPollNanos);
    }
    memory.taken.store(false);
  }
}

void ForgetMemoryUsersAfterFork() {
  for (OwnedMemory& memory : g_memories) memory.users.store(0);
}

}  // namespace thermocline::runtime

#include "src/adapters/calls/real_calls.h"

#include <dlfcn.h>

#include <atomic>

namespace thermocline::calls {
namespace {

RealCalls g_real;
std::atomic<bool> g_known{false};

template <typename Function>
void LookUp(const char* name, Function** function) {
  __atomic_store_n(function, reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name)), __ATOMIC_RELAXED);
}

}  // namespace

// Whoever comes before they are known looks them up too, and finds the same.
const RealCalls& Real() {
  if (g_known.load(std::memory_order_acquire)) [[likely]]
    return g_real;
#define THERMOCLINE_LOOK_UP(name, result, parameters) LookUp(#name, &g_real.name);
  THERMOCLINE_REAL_CALLS(THERMOCLINE_LOOK_UP)
#undef THERMOCLINE_LOOK_UP
  g_known.store(true, std::memory_order_release);
  return g_real;
}

}  // namespace thermocline::calls

// Clock: the one source of time, injected wherever time is read.
//
// Thread safety: every implementation may be called from any thread, and from a signal handler.
#ifndef THERMOCLINE_BASE_CLOCK_H_
#define THERMOCLINE_BASE_CLOCK_H_

#include <cstdint>

namespace thermocline {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since an arbitrary, fixed instant; never goes back.
  virtual int64_t NowNanos() const = 0;
};

// CLOCK_MONOTONIC. Never destroyed.
const Clock& MonotonicClock();

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_CLOCK_H_

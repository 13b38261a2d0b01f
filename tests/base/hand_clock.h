// HandClock: a clock that stands still until a test moves it.
//
// Thread safety: any thread.
#ifndef THERMOCLINE_TESTS_BASE_HAND_CLOCK_H_
#define THERMOCLINE_TESTS_BASE_HAND_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "src/base/clock.h"

namespace thermocline {

class HandClock final : public Clock {
 public:
  explicit HandClock(int64_t start = 1'000'000) : now(start) {}
  int64_t NowNanos() const override { return now; }
  std::atomic<int64_t> now;
};

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_BASE_HAND_CLOCK_H_

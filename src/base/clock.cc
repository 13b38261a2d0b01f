#include "src/base/clock.h"

#include <time.h>

namespace thermocline {
namespace {

class RealClock final : public Clock {
 public:
  int64_t NowNanos() const override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }
};

}  // namespace

const Clock& MonotonicClock() {
  static const RealClock* const clock = new RealClock;
  return *clock;
}

}  // namespace thermocline

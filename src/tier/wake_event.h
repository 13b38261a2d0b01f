// WakeEvent: wakes the one thread that waits on it, from any thread and from a signal handler.
//
// A signal that comes while nobody waits is kept for the next Wait; several are one. Ownership: closes the eventfd.
#ifndef THERMOCLINE_TIER_WAKE_EVENT_H_
#define THERMOCLINE_TIER_WAKE_EVENT_H_

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <ctime>

namespace thermocline::tier {

class WakeEvent {
 public:
  explicit WakeEvent(int event_fd) : fd_(event_fd) {}
  ~WakeEvent() { close(fd_); }
  WakeEvent(const WakeEvent&) = delete;
  WakeEvent& operator=(const WakeEvent&) = delete;

  // Async-signal-safe.
  void Signal() {
    const int saved = errno;
    const uint64_t one = 1;
    while (write(fd_, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    errno = saved;
  }

  // Waits until Signal, for ever when nanos < 0. True when signalled; a handled signal of the process also ends it.
  bool Wait(int64_t nanos) {
    pollfd entry{fd_, POLLIN, 0};
    const timespec time{nanos / 1'000'000'000, nanos % 1'000'000'000};
    uint64_t count;
    return ppoll(&entry, 1, nanos < 0 ? nullptr : &time, nullptr) == 1 && read(fd_, &count, sizeof(count)) > 0;
  }

 private:
  const int fd_;
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_WAKE_EVENT_H_

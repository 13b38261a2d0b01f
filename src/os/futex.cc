#include "src/os/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace thermocline::os {
namespace {

constexpr int kSpins = 100;

void RawFutexWait(const void* word, uint32_t expected, const timespec* timeout) {
  // Faults are handled with the interrupted code's errno: keep it.
  const int saved = errno;
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout, nullptr, 0);
  errno = saved;
}

void RawFutexWake(const void* word, int count) {
  const int saved = errno;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
  errno = saved;
}

}  // namespace

void FutexWait(const std::atomic<uint32_t>& word, uint32_t expected, int64_t timeout_nanos) {
  if (timeout_nanos < 0) {
    RawFutexWait(&word, expected, nullptr);
    return;
  }
  const timespec timeout{timeout_nanos / 1'000'000'000, timeout_nanos % 1'000'000'000};
  RawFutexWait(&word, expected, &timeout);
}

void FutexWakeAll(const std::atomic<uint32_t>& word) { RawFutexWake(&word, INT_MAX); }

void FutexLock::LockSlow() {
  for (int spin = 0; spin < kSpins; ++spin) {
    uint32_t free = kFree;
    if (word_.compare_exchange_weak(free, kHeld, std::memory_order_acquire)) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  while (word_.exchange(kContended, std::memory_order_acquire) != kFree) {
    RawFutexWait(&word_, kContended, nullptr);
  }
}

void FutexLock::FutexWakeOne() { RawFutexWake(&word_, 1); }

SignalBlock::SignalBlock() {
  const uint64_t all = ~uint64_t{0};
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &saved_, sizeof(saved_));
}

SignalBlock::~SignalBlock() { syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved_, nullptr, sizeof(saved_)); }

}  // namespace thermocline::os

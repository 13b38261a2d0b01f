// A futex word, and a lock made of it that a signal handler may take.
//
// pthread and Abseil locks may allocate or record the thread on first use, which a fault handler can't afford. The lock
// here is safe in a handler under one rule: whoever takes it outside a handler blocks all signals first (SignalLock).
// Thread safety: every function may be called from any thread and from a signal handler.
#ifndef THERMOCLINE_OS_FUTEX_H_
#define THERMOCLINE_OS_FUTEX_H_

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdint>

namespace thermocline::os {

// Sleeps while *word == expected, at most timeout_nanos (< 0: for ever). May return early.
void FutexWait(const std::atomic<uint32_t>& word, uint32_t expected, int64_t timeout_nanos = -1);
// Wakes all who sleep on the word.
void FutexWakeAll(const std::atomic<uint32_t>& word);

// A mutual-exclusion lock: spins shortly, then sleeps.
class FutexLock {
 public:
  FutexLock() = default;
  FutexLock(const FutexLock&) = delete;
  FutexLock& operator=(const FutexLock&) = delete;

  void Lock() {
    uint32_t free = kFree;
    if (!word_.compare_exchange_strong(free, kHeld, std::memory_order_acquire)) LockSlow();
  }
  bool TryLock() {
    uint32_t free = kFree;
    return word_.compare_exchange_strong(free, kHeld, std::memory_order_acquire);
  }
  void Unlock() {
    if (word_.exchange(kFree, std::memory_order_release) == kContended) FutexWakeOne();
  }
  // In a forked child, where the holder may not exist any more. REQUIRES: no other thread.
  void ResetAfterFork() { word_.store(kFree, std::memory_order_relaxed); }

 private:
  enum : uint32_t { kFree, kHeld, kContended };
  void LockSlow();
  void FutexWakeOne();

  std::atomic<uint32_t> word_{kFree};
};

class LockGuard {
 public:
  explicit LockGuard(FutexLock& lock) : lock_(lock) { lock_.Lock(); }
  ~LockGuard() { lock_.Unlock(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  FutexLock& lock_;
};

// Blocks every signal of the calling thread while it lives.
class SignalBlock {
 public:
  SignalBlock();
  ~SignalBlock();
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  uint64_t saved_;  // the kernel's mask, by direct system call: libc's wrappers may be interposed
};

// Holds a lock that fault handlers take too.
class SignalLock {
 public:
  explicit SignalLock(FutexLock& lock) : guard_(lock) {}

 private:
  SignalBlock block_;  // before the lock is taken, until after it is released
  LockGuard guard_;
};

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_FUTEX_H_

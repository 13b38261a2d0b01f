// HeldTier: a BlockTier whose completions are released by hand, in any order and with any error, so that a test can
// stand in the middle of any migration.
//
// A transfer's bytes move when it is released, not before: a granule that is reused too early is found out. Until
// Hold(true) it completes everything at the next Reap.
// Thread safety: Submit, Reap: one thread, as BlockTier; everything else from any thread, under one lock.
#ifndef THERMOCLINE_TESTS_TIER_HELD_TIER_H_
#define THERMOCLINE_TESTS_TIER_HELD_TIER_H_

#include <errno.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "src/tier/block_tier.h"
#include "src/tier/numa_system.h"
#include "src/tier/slot_pool.h"

namespace thermocline::tier {

class HeldTier final : public BlockTier {
 public:
  HeldTier(Bytes granule, int slots, int depth = 64)
      : granule_(granule), slots_(slots), depth_(depth), memory_(slots * granule.count()) {
    pool_.Grow(slots);
    waiting_.reserve(depth);
    done_.reserve(depth);
  }

  // The test's side.

  // From now on transfers wait for Release (true), or complete at the next Reap (false, those waiting too).
  void Hold(bool hold) {
    std::lock_guard<std::mutex> lock(mutex_);
    hold_ = hold;
    if (!hold) {
      while (!waiting_.empty()) ReleaseAt(0, 0);
    }
    changed_.notify_all();
  }
  // What is held now, in the order of submission.
  std::vector<Transfer> Waiting() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return waiting_;
  }
  // Blocks until at least `count` transfers are held; false after ten seconds.
  bool WaitUntilHeld(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return waiting_.size() >= count; });
  }
  // Completes one that is held, by its index in Waiting(). With an error no byte moves.
  void Release(size_t index, int error = 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    ReleaseAt(index, error);
    changed_.notify_all();
  }
  // Completes the first held transfer that `matches`; false when there is none.
  bool ReleaseWhere(const std::function<bool(const Transfer&)>& matches, int error = 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(waiting_.begin(), waiting_.end(), matches);
    if (found == waiting_.end()) return false;
    ReleaseAt(found - waiting_.begin(), error);
    changed_.notify_all();
    return true;
  }
  // Decides, for each transfer that is not held, the errno that it ends with (0: success). Null: always success.
  void FailWhere(std::function<int(const Transfer&)> error_of) {
    std::lock_guard<std::mutex> lock(mutex_);
    error_of_ = std::move(error_of);
  }
  // What ReadSync answers; 0: it works.
  void FailReadSync(int error) {
    std::lock_guard<std::mutex> lock(mutex_);
    read_sync_error_ = error;
  }
  void SetFull(bool full) {
    std::lock_guard<std::mutex> lock(mutex_);
    full_ = full;
  }
  // The bytes of a slot, to look at or to damage.
  char* SlotMemory(SlotId slot) { return memory_.data() + slot.value() * granule_.count(); }
  int slots_taken() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return taken_;
  }

  // BlockTier.

  std::string Describe() const override { return "held (for tests)"; }
  Bytes granule_bytes() const override { return granule_; }
  Bytes capacity() const override { return granule_ * slots_; }
  SlotId AllocateSlot() override {
    std::lock_guard<std::mutex> lock(mutex_);
    const SlotId slot = full_ ? kNoSlot : pool_.Take();
    if (slot != kNoSlot) ++taken_;
    return slot;
  }
  void FreeSlot(SlotId slot) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (pool_.Give(slot)) --taken_;
  }
  int Submit(absl::Span<const Transfer> transfers) override {
    std::lock_guard<std::mutex> lock(mutex_);
    const int taken = std::min<int>(depth_ - stats_.in_flight, static_cast<int>(transfers.size()));
    for (const Transfer& transfer : transfers.first(std::max(taken, 0))) {
      waiting_.push_back(transfer);
      ++stats_.in_flight;
      if (!hold_) ReleaseAt(waiting_.size() - 1, error_of_ ? error_of_(transfer) : 0);
    }
    changed_.notify_all();
    return std::max(taken, 0);
  }
  int max_in_flight() const override { return depth_; }
  void Reap(std::vector<Completion>* completions, int64_t timeout_nanos) override {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto ready = [this] { return !done_.empty() || woken_; };
    if (timeout_nanos < 0) {
      changed_.wait(lock, ready);
    } else {
      changed_.wait_for(lock, std::chrono::nanoseconds(timeout_nanos), ready);
    }
    woken_ = false;
    stats_.in_flight -= static_cast<int>(done_.size());
    completions->insert(completions->end(), done_.begin(), done_.end());
    done_.clear();
  }
  // Not async-signal-safe: a test wakes from threads.
  void Wake() override {
    std::lock_guard<std::mutex> lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  }
  int ReadSync(SlotId slot, void* memory) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (read_sync_error_ != 0 || !pool_.IsTaken(slot)) {
      ++stats_.failures;
      return read_sync_error_ != 0 ? read_sync_error_ : EINVAL;
    }
    std::memcpy(memory, SlotMemory(slot), granule_.count());
    stats_.bytes_in += granule_;
    return 0;
  }
  BlockTierStats Stats() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return stats_;
  }

 private:
  void ReleaseAt(size_t index, int error) {
    const Transfer transfer = waiting_.at(index);
    waiting_.erase(waiting_.begin() + index);
    if (error == 0 && !pool_.IsTaken(transfer.slot)) error = EINVAL;
    if (error == 0 && transfer.direction == Direction::kOut) {
      // A touch may take the source back while it is copied: a failed transfer then, as with the kernel, and no crash.
      error = -RealNumaSystem().CopyFrom(SlotMemory(transfer.slot), transfer.memory, granule_.count());
    }
    if (error != 0) {
      ++stats_.failures;
    } else if (transfer.direction == Direction::kIn) {
      std::memcpy(transfer.memory, SlotMemory(transfer.slot), granule_.count());
      stats_.bytes_in += granule_;
    } else {
      stats_.bytes_out += granule_;
    }
    done_.push_back({transfer.tag, error});
  }

  const Bytes granule_;
  const int slots_;
  const int depth_;
  std::vector<char> memory_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  SlotPool pool_;
  bool hold_ = false;
  bool full_ = false;
  bool woken_ = false;
  int read_sync_error_ = 0;
  int taken_ = 0;
  std::function<int(const Transfer&)> error_of_;
  std::vector<Transfer> waiting_;
  std::vector<Completion> done_;
  BlockTierStats stats_;
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TESTS_TIER_HELD_TIER_H_

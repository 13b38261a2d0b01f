// EmulatedTier: a slow tier in host memory with the speed that one asks for. For tests and studies: its slots are
// memory, so it saves none.
//
// Transfers share each direction's bandwidth (half duplex: both share one link) in the order of submission, and the
// latency is added to each without occupying the link. The bytes are copied when the time has come, on the thread that
// reaps: a caller that reuses the memory early is found out. With a test's clock everything is deterministic.
// With `addressable` the tier says that compute could use its slots in place, and gives their addresses. It does not
// slow such uses down to the link's speed: what they would cost is the simulator's business.
// Its speed can be changed while it runs, as that of a disk changes when others use it.
// Thread safety, ownership, errors: as BlockTier.
#ifndef THERMOCLINE_TIER_EMULATED_TIER_H_
#define THERMOCLINE_TIER_EMULATED_TIER_H_

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/tier/block_tier.h"
#include "src/tier/slot_pool.h"
#include "src/tier/wake_event.h"

namespace thermocline::tier {

struct EmulatedTierOptions {
  Bytes granule_bytes = MiB(2);
  Bytes capacity;          // 0: 64 GiB; memory is taken as slots are written
  BytesPerSecond in{1e9};  // half duplex: the direction's speed when it has the link for itself
  BytesPerSecond out{1e9};
  double latency_seconds = 0;
  bool full_duplex = false;
  bool addressable = false;
  int queue_depth = 64;
  const Clock* clock = &MonotonicClock();
};

class EmulatedTier final : public BlockTier {
 public:
  static absl::StatusOr<std::unique_ptr<EmulatedTier>> Create(const EmulatedTierOptions& options);
  ~EmulatedTier() override;

  std::string Describe() const override;
  Bytes granule_bytes() const override { return options_.granule_bytes; }
  Bytes capacity() const override { return options_.capacity; }
  bool addressable() const override { return options_.addressable; }
  SlotId AllocateSlot() override;
  void FreeSlot(SlotId slot) override;
  int Submit(absl::Span<const Transfer> transfers) override;
  int max_in_flight() const override { return options_.queue_depth; }
  void Reap(std::vector<Completion>* completions, int64_t timeout_nanos) override;
  void Wake() override;
  // Takes the time of one transfer on an idle link, when the clock is the real one.
  int ReadSync(SlotId slot, void* memory) override;
  BlockTierStats Stats() const override;

  // The speed of what is submitted from now on. From any thread. REQUIRES: positive rates.
  void SetSpeed(BytesPerSecond in, BytesPerSecond out) {
    in_rate_.store(in.rate(), std::memory_order_relaxed);
    out_rate_.store(out.rate(), std::memory_order_relaxed);
  }

  // When the next transfer completes, in the clock's nanoseconds; -1: none is under way. The mover's, as Reap.
  int64_t NextCompletionNanos() const;
  // A slot's bytes, in place.
  const char* SlotMemory(SlotId slot) const { return memory_ + slot.value() * options_.granule_bytes.count(); }

 private:
  struct Pending {
    Transfer transfer;
    int64_t done_nanos;
    int error;
  };
  EmulatedTier(const EmulatedTierOptions& options, char* memory, int event_fd);
  int64_t TransferNanos(Direction direction) const;
  bool IsTaken(SlotId slot);
  bool Collect(std::vector<Completion>* completions);

  const EmulatedTierOptions options_;
  std::atomic<double> in_rate_, out_rate_;
  char* const memory_;
  WakeEvent event_;
  std::atomic<bool> woken_{false};
  std::mutex slots_mutex_;
  SlotPool slots_;
  std::vector<Pending> pending_;         // the mover's own
  int64_t link_free_nanos_[2] = {0, 0};  // by direction; half duplex uses the first for both
  std::atomic<int> in_flight_{0};
  std::atomic<int64_t> bytes_in_{0}, bytes_out_{0}, failures_{0};
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_EMULATED_TIER_H_

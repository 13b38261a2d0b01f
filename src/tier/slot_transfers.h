// SlotTransfers: granules to and from slots through an IoEngine, for the tiers whose slots lie side by side in one file
// or one range of memory. It turns transfers into the engine's requests, and results into completions and counts.
//
// Thread safety: Submit and Reap belong to the mover; Wake from anywhere, signal handlers included; the rest from any
// thread. Ownership: owns the engine. Errors: as BlockTier says.
#ifndef THERMOCLINE_TIER_SLOT_TRANSFERS_H_
#define THERMOCLINE_TIER_SLOT_TRANSFERS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "src/base/units.h"
#include "src/tier/block_tier.h"
#include "src/tier/io_engine.h"

namespace thermocline::tier {

class SlotTransfers {
 public:
  SlotTransfers(Bytes granule_bytes, int depth) : granule_bytes_(granule_bytes), depth_(depth) {
    requests_.reserve(depth);
    results_.reserve(depth);
    refused_.reserve(depth);
  }

  // nullptr ends it, once what is in flight has ended. REQUIRES: an engine is set before anything else is called.
  void SetEngine(std::unique_ptr<IoEngine> engine) { engine_ = std::move(engine); }
  std::string Describe() const { return engine_->Describe(); }

  // `refusal`: 0, or the errno with which the next Reap reports a transfer that is not started.
  int Submit(absl::Span<const Transfer> transfers, absl::FunctionRef<int(const Transfer&)> refusal);
  // As IoEngine::Reap.
  bool Reap(std::vector<Completion>* completions, int64_t timeout_nanos);
  void Wake() { engine_->Wake(); }

  // A read beside the engine ended so. Async-signal-safe.
  void CountRead(int error);
  void CountFailure() { failures_.fetch_add(1, std::memory_order_relaxed); }
  int in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  Bytes bytes_out() const { return Bytes(bytes_out_.load(std::memory_order_relaxed)); }
  BlockTierStats Stats() const;

 private:
  const Bytes granule_bytes_;
  const int depth_;
  std::unique_ptr<IoEngine> engine_;

  // The mover's own.
  std::vector<IoRequest> requests_;
  std::vector<IoResult> results_;
  std::vector<Completion> refused_;  // transfers that were not started; the next Reap reports them

  std::atomic<int> in_flight_{0};
  std::atomic<int64_t> bytes_in_{0}, bytes_out_{0}, failures_{0};
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_SLOT_TRANSFERS_H_

// VerifyingTier: checks that a slow tier returns what was written to it (`--verify`).
//
// Every granule is summed when it is handed out, and again when it has come in; bytes that differ are a completion
// with EBADMSG, from ReadSync too. A slot that was never written through this tier, or whose last write failed, is not
// checked. Costs about 0.25 ms of the mover's time for 2 MiB.
// The caller must not write to a granule between Submit and the completion of its transfer out; one that was written
// all the same (an eviction that is then given up) leaves bytes in the slot that this tier takes for damaged.
// Thread safety, ownership, errors: as BlockTier. Owns the tier under it.
#ifndef THERMOCLINE_TIER_VERIFYING_TIER_H_
#define THERMOCLINE_TIER_VERIFYING_TIER_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "src/tier/block_tier.h"

namespace thermocline::tier {

class VerifyingTier final : public BlockTier {
 public:
  explicit VerifyingTier(std::unique_ptr<BlockTier> under);
  ~VerifyingTier() override;

  std::string Describe() const override;
  Bytes granule_bytes() const override { return under_->granule_bytes(); }
  Bytes capacity() const override { return under_->capacity(); }
  SlotId AllocateSlot() override { return under_->AllocateSlot(); }
  void FreeSlot(SlotId slot) override;
  int Submit(absl::Span<const Transfer> transfers) override;
  int max_in_flight() const override { return under_->max_in_flight(); }
  void Reap(std::vector<Completion>* completions, int64_t timeout_nanos) override;
  void Wake() override { under_->Wake(); }
  int ReadSync(SlotId slot, void* memory) override;
  BlockTierStats Stats() const override;

 private:
  // A slot's sum and whether it is known, in one word so that a signal handler reads both at once.
  using Sum = std::atomic<uint64_t>;
  static constexpr uint64_t kKnown = uint64_t{1} << 32;
  static constexpr uint32_t kChunkSlots = 4096;
  static constexpr uint32_t kChunks = 4096;

  struct Flight {
    Transfer transfer;
    uint64_t sum = 0;  // of what goes out
  };

  // The slot's sum; made on demand, except from ReadSync. Null: never written (or beyond 16 million slots,
  // or where there is no memory for it).
  Sum* Find(SlotId slot, bool make);
  uint64_t SumOf(const void* memory) const;
  // 0, not known, when the memory is not there: a granule whose eviction was given up has moved back to its address.
  uint64_t SumOfOutgoing(void* memory);
  bool Matches(SlotId slot, const void* memory);

  std::unique_ptr<BlockTier> under_;
  // Chunks that never move, so that ReadSync needs no lock.
  std::unique_ptr<std::atomic<Sum*>[]> chunks_;
  // The mover's own. Tags below are ours: the caller's need not be unique.
  std::vector<Flight> flights_;
  std::vector<char> copy_;  // of the granule that is being summed
  std::vector<uint64_t> idle_;
  std::vector<Transfer> renamed_;
  std::vector<Completion> completed_;
  std::atomic<int64_t> mismatches_{0}, mismatched_in_{0};
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_VERIFYING_TIER_H_

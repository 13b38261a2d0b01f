// FailingTier: a BlockTier over another one that fails chosen transfers, so that a test can make a slow tier fill up or
// break at any moment of any migration. HeldTier (held_tier.h) is the one for choosing the order of completions.
//
// Thread safety: as BlockTier; the counts may be set from any thread. Owns the tier under it.
#ifndef THERMOCLINE_TESTS_TIER_FAILING_TIER_H_
#define THERMOCLINE_TESTS_TIER_FAILING_TIER_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/tier/block_tier.h"

namespace thermocline::tier {

class FailingTier final : public BlockTier {
 public:
  explicit FailingTier(std::unique_ptr<BlockTier> under) : under_(std::move(under)) {}

  // Every n-th transfer in this direction, counted from now, ends with `error`; 0: none does, 1: all do.
  void FailEvery(Direction direction, int n, int error) {
    Rule& rule = rules_[static_cast<int>(direction)];
    rule.count = 0;
    rule.error = error;
    rule.every = n;
  }
  void FailReadSync(int error) { read_sync_error_ = error; }
  void SetFull(bool full) { full_ = full; }

  std::string Describe() const override { return under_->Describe() + ", failing on purpose"; }
  Bytes granule_bytes() const override { return under_->granule_bytes(); }
  Bytes capacity() const override { return under_->capacity(); }
  SlotId AllocateSlot() override { return full_ ? kNoSlot : under_->AllocateSlot(); }
  void FreeSlot(SlotId slot) override { under_->FreeSlot(slot); }
  int max_in_flight() const override { return under_->max_in_flight(); }
  int Submit(absl::Span<const Transfer> transfers) override {
    int taken = 0;
    const int room = max_in_flight() - under_->Stats().in_flight - static_cast<int>(failed_.size());
    for (const Transfer& transfer : transfers) {
      if (taken >= room) break;
      if (const int error = Next(transfer.direction); error != 0) {
        failed_.push_back({transfer.tag, error});
      } else if (under_->Submit({transfer}) == 0) {
        break;
      }
      ++taken;
    }
    return taken;
  }
  void Reap(std::vector<Completion>* completions, int64_t timeout_nanos) override {
    under_->Reap(completions, failed_.empty() ? timeout_nanos : 0);
    failures_ += static_cast<int64_t>(failed_.size());
    completions->insert(completions->end(), failed_.begin(), failed_.end());
    failed_.clear();
  }
  void Wake() override { under_->Wake(); }
  int ReadSync(SlotId slot, void* memory) override {
    if (read_sync_error_ == 0) return under_->ReadSync(slot, memory);
    ++failures_;
    return read_sync_error_;
  }
  BlockTierStats Stats() const override {
    BlockTierStats stats = under_->Stats();
    stats.failures += failures_;
    stats.in_flight += static_cast<int>(failed_.size());
    return stats;
  }

 private:
  struct Rule {
    std::atomic<int> every{0}, error{0}, count{0};
  };
  int Next(Direction direction) {
    Rule& rule = rules_[static_cast<int>(direction)];
    const int every = rule.every;
    return every > 0 && ++rule.count % every == 0 ? rule.error.load() : 0;
  }

  std::unique_ptr<BlockTier> under_;
  Rule rules_[2];
  std::atomic<int> read_sync_error_{0};
  std::atomic<bool> full_{false};
  std::atomic<int64_t> failures_{0};
  std::vector<Completion> failed_;
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TESTS_TIER_FAILING_TIER_H_

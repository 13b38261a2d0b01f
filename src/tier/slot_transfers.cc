#include "src/tier/slot_transfers.h"

#include <algorithm>
#include <new>

namespace thermocline::tier {

int SlotTransfers::Submit(absl::Span<const Transfer> transfers, absl::FunctionRef<int(const Transfer&)> refusal) {
  const int room = depth_ - in_flight_.load(std::memory_order_relaxed);
  const int taken = std::min<int>(room, static_cast<int>(transfers.size()));
  if (taken <= 0) return 0;
  const int64_t granule = granule_bytes_.count();
  requests_.clear();
  const size_t refused_before = refused_.size();
  for (const Transfer& transfer : transfers.first(taken)) {
    if (const int error = refusal(transfer); error != 0) {
      refused_.push_back({transfer.tag, error});
      continue;
    }
    requests_.push_back({transfer.tag, transfer.direction, int64_t{transfer.slot.value()} * granule,
                         static_cast<char*>(transfer.memory), granule});
  }
  try {
    if (!requests_.empty()) engine_->Submit(requests_);
  } catch (const std::bad_alloc&) {
    refused_.resize(refused_before);  // none was taken
    throw;
  }
  in_flight_.fetch_add(taken, std::memory_order_relaxed);
  return taken;
}

bool SlotTransfers::Reap(std::vector<Completion>* completions, int64_t timeout_nanos) {
  results_.clear();
  const bool woken = engine_->Reap(&results_, refused_.empty() ? timeout_nanos : 0);
  for (const IoResult& result : results_) {
    completions->push_back({result.tag, result.error});
    if (result.error != 0) {
      failures_.fetch_add(1, std::memory_order_relaxed);
    } else {
      auto& moved = result.direction == Direction::kIn ? bytes_in_ : bytes_out_;
      moved.fetch_add(granule_bytes_.count(), std::memory_order_relaxed);
    }
  }
  completions->insert(completions->end(), refused_.begin(), refused_.end());
  failures_.fetch_add(static_cast<int64_t>(refused_.size()), std::memory_order_relaxed);
  in_flight_.fetch_sub(static_cast<int>(results_.size() + refused_.size()), std::memory_order_relaxed);
  refused_.clear();
  return woken;
}

void SlotTransfers::CountRead(int error) {
  if (error != 0) {
    CountFailure();
  } else {
    bytes_in_.fetch_add(granule_bytes_.count(), std::memory_order_relaxed);
  }
}

BlockTierStats SlotTransfers::Stats() const {
  BlockTierStats stats;
  stats.bytes_in = Bytes(bytes_in_.load(std::memory_order_relaxed));
  stats.bytes_out = bytes_out();
  stats.failures = failures_.load(std::memory_order_relaxed);
  stats.in_flight = in_flight_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace thermocline::tier

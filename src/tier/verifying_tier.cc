#include "src/tier/verifying_tier.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/tier/checksum.h"

namespace thermocline::tier {

VerifyingTier::VerifyingTier(std::unique_ptr<BlockTier> under)
    : under_(std::move(under)),
      chunks_(std::make_unique<std::atomic<Sum*>[]>(kChunks)),
      flights_(under_->max_in_flight()),
      copy_(static_cast<size_t>(under_->granule_bytes().count())) {
  for (uint64_t i = flights_.size(); i-- > 0;) idle_.push_back(i);
  renamed_.reserve(flights_.size());
  completed_.reserve(flights_.size());
}

VerifyingTier::~VerifyingTier() {
  for (uint32_t i = 0; i < kChunks; ++i) delete[] chunks_[i].load();
}

std::string VerifyingTier::Describe() const { return absl::StrCat(under_->Describe(), ", verified"); }

VerifyingTier::Sum* VerifyingTier::Find(SlotId slot, bool make) {
  const uint32_t chunk = slot.value() / kChunkSlots;
  if (chunk >= kChunks) return nullptr;
  Sum* sums = chunks_[chunk].load(std::memory_order_acquire);
  if (sums == nullptr) {
    if (!make) return nullptr;
    Sum* const fresh = new (std::nothrow) Sum[kChunkSlots]();
    if (fresh == nullptr) return nullptr;
    if (chunks_[chunk].compare_exchange_strong(sums, fresh)) {
      sums = fresh;
    } else {
      delete[] fresh;
    }
  }
  return &sums[slot.value() % kChunkSlots];
}

uint64_t VerifyingTier::SumOf(const void* memory) const {
  return kKnown | Crc32c(memory, static_cast<size_t>(under_->granule_bytes().count()));
}

uint64_t VerifyingTier::SumOfOutgoing(void* memory) {
  // Through the kernel: a plain read of an address that has become a hole would end the mover, whose signals are
  // blocked.
  const iovec local{copy_.data(), copy_.size()};
  const iovec remote{memory, copy_.size()};
  const ssize_t copied = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  return copied == static_cast<ssize_t>(copy_.size()) ? SumOf(copy_.data()) : 0;
}

bool VerifyingTier::Matches(SlotId slot, const void* memory) {
  const Sum* sum = Find(slot, false);
  const uint64_t expected = sum == nullptr ? 0 : sum->load(std::memory_order_acquire);
  if ((expected & kKnown) == 0 || SumOf(memory) == expected) return true;
  mismatches_.fetch_add(1, std::memory_order_relaxed);
  mismatched_in_.fetch_add(under_->granule_bytes().count(), std::memory_order_relaxed);
  return false;
}

void VerifyingTier::FreeSlot(SlotId slot) {
  if (Sum* sum = Find(slot, false); sum != nullptr) sum->store(0, std::memory_order_release);
  under_->FreeSlot(slot);
}

int VerifyingTier::Submit(absl::Span<const Transfer> transfers) {
  const size_t count = std::min(transfers.size(), idle_.size());
  renamed_.clear();
  for (const Transfer& transfer : transfers.first(count)) {
    const uint64_t index = idle_.back();
    idle_.pop_back();
    flights_[index] = {transfer, 0};
    if (transfer.direction == Direction::kOut) {
      flights_[index].sum = SumOfOutgoing(transfer.memory);
      // Until it is written whole, what the slot holds is unspecified.
      if (Sum* sum = Find(transfer.slot, true); sum != nullptr) sum->store(0, std::memory_order_release);
    }
    renamed_.push_back(transfer);
    renamed_.back().tag = index;
  }
  int taken = 0;
  try {
    taken = under_->Submit(renamed_);
  } catch (const std::bad_alloc&) {
    for (size_t i = count; i-- > 0;) idle_.push_back(renamed_[i].tag);
    throw;
  }
  for (size_t i = count; i-- > static_cast<size_t>(taken);) idle_.push_back(renamed_[i].tag);
  return taken;
}

void VerifyingTier::Reap(std::vector<Completion>* completions, int64_t timeout_nanos) {
  completed_.clear();
  under_->Reap(&completed_, timeout_nanos);
  for (Completion completion : completed_) {
    const uint64_t index = completion.tag;
    const Flight& flight = flights_[index];
    completion.tag = flight.transfer.tag;
    if (completion.error == 0 && flight.transfer.direction == Direction::kOut) {
      Sum* const sum = Find(flight.transfer.slot, true);
      if (sum != nullptr) sum->store(flight.sum, std::memory_order_release);
    } else if (completion.error == 0 && !Matches(flight.transfer.slot, flight.transfer.memory)) {
      completion.error = EBADMSG;
    }
    idle_.push_back(index);
    completions->push_back(completion);
  }
}

int VerifyingTier::ReadSync(SlotId slot, void* memory) {
  const int error = under_->ReadSync(slot, memory);
  return error == 0 && !Matches(slot, memory) ? EBADMSG : error;
}

BlockTierStats VerifyingTier::Stats() const {
  BlockTierStats stats = under_->Stats();
  stats.failures += mismatches_.load(std::memory_order_relaxed);
  stats.bytes_in -= Bytes(mismatched_in_.load(std::memory_order_relaxed));
  return stats;
}

}  // namespace thermocline::tier

#include "src/arena/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/reserve.h"
#include "src/os/memory.h"

namespace thermocline::arena {
namespace {

// Calls `act(word index, mask)` for the words of the bit range [first, first + count); stops when it says false.
template <typename Act>
bool ForEachWord(int64_t first, int64_t count, Act act) {
  for (int64_t bit = first; bit < first + count;) {
    const int64_t in_word = std::min<int64_t>(64 - bit % 64, first + count - bit);
    const uint64_t mask = (in_word == 64 ? ~uint64_t{0} : (uint64_t{1} << in_word) - 1) << (bit % 64);
    if (!act(bit / 64, mask)) return false;
    bit += in_word;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Allocator>> Allocator::Create(Residency& residency) {
  auto allocator = std::unique_ptr<Allocator>(new Allocator(residency));
  void* pages = mmap(nullptr, allocator->IndexBytes().count(), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("no address space for the page index: ", strerror(errno)));
  }
  allocator->pages_ = static_cast<uint32_t*>(pages);
  return allocator;
}

Allocator::Allocator(Residency& residency)
    : residency_(residency),
      planned_begin_(RoundDown(residency.size() / 2, residency.granule_bytes()).count()),
      planned_end_(RoundDown(residency.size() / 4 * 3, residency.granule_bytes()).count()),
      extents_(0, planned_begin_),
      span_extents_(planned_end_, residency.size().count()) {}

Allocator::~Allocator() {
  if (pages_ != nullptr) munmap(pages_, IndexBytes().count());
}

void Allocator::CountLive(Bytes change) {
  live_ += change;
  peak_live_ = std::max(peak_live_, live_);
}

bool Allocator::RetainExtent(int64_t offset, Bytes rounded) {
  return residency_.Retain(residency_.RangeOf(residency_.base() + offset, rounded));
}

// What Register needs, and the Free to come.
void Allocator::ReserveRecord() {
  if (!free_records_.empty()) return;
  ReserveFor(records_, records_.size() + 1);
  ReserveFor(free_records_, records_.size() + 1);
}

void* Allocator::Register(int64_t offset, Bytes bytes, bool planned, uint64_t* serial) {
  uint32_t index = static_cast<uint32_t>(records_.size());
  if (free_records_.empty()) {
    records_.emplace_back();
  } else {
    index = free_records_.back();
    free_records_.pop_back();
  }
  char* const address = residency_.base() + offset;
  records_[index] = {address, bytes, Rounded(bytes), next_serial_++, planned};
  PageEntry(offset) = index + 1;
  if (serial != nullptr) *serial = records_[index].serial;
  CountLive(bytes);
  return address;
}

void* Allocator::Allocate(Bytes bytes, Bytes alignment, bool own_pages, uint64_t* serial) {
  if (serial != nullptr) *serial = 0;
  if (bytes.count() < 0 || bytes > residency_.size() || alignment > residency_.size()) return nullptr;
  // Offsets are aligned below, from a base that is itself aligned to a granule at least.
  if ((reinterpret_cast<uintptr_t>(residency_.base()) & (alignment.count() - 1)) != 0) return nullptr;
  bytes = std::max(bytes, Bytes(1));
  os::LockGuard guard(lock_);
  if (!IsLarge(bytes) && !own_pages && alignment <= kAlignment) return AllocateSmall(bytes);
  ReserveRecord();
  const Bytes rounded = Rounded(bytes);
  const int64_t offset = extents_.Allocate(rounded.count(), std::max(alignment, kPage).count());
  if (offset < 0) return nullptr;
  if (!RetainExtent(offset, rounded)) {
    extents_.Free(offset, rounded.count());
    return nullptr;
  }
  return Register(offset, bytes, false, serial);
}

void* Allocator::AllocateAt(int64_t offset, Bytes bytes, uint64_t* serial) {
  const Bytes rounded = Rounded(bytes);
  if (offset < planned_begin_ || offset + rounded.count() > planned_end_) return nullptr;
  if (offset % kPage.count() != 0) return nullptr;  // its last page would not be marked as taken
  os::LockGuard guard(lock_);
  ReserveRecord();
  if (!TakePlannedPages(offset, rounded)) return nullptr;
  if (!RetainExtent(offset, rounded)) {
    ClearPlannedPages(offset, rounded);
    return nullptr;
  }
  return Register(offset, bytes, true, serial);
}

bool Allocator::TakePlannedPages(int64_t offset, Bytes rounded) {
  const int64_t first = (offset - planned_begin_) / kPage.count();
  const int64_t count = rounded / kPage;
  if (const size_t words = (first + count + 63) / 64; planned_pages_.size() < words) planned_pages_.resize(words);
  const bool free =
      ForEachWord(first, count, [&](int64_t word, uint64_t mask) { return (planned_pages_[word] & mask) == 0; });
  if (!free) return false;
  return ForEachWord(first, count, [&](int64_t word, uint64_t mask) {
    planned_pages_[word] |= mask;
    return true;
  });
}

void Allocator::ClearPlannedPages(int64_t offset, Bytes rounded) {
  ForEachWord((offset - planned_begin_) / kPage.count(), rounded / kPage, [&](int64_t word, uint64_t mask) {
    planned_pages_[word] &= ~mask;
    return true;
  });
}

void* Allocator::AllocateSmall(Bytes bytes) {
  const int size_class = SlabAllocator::ClassOf(bytes.count());
  int64_t offset = slabs_.Allocate(size_class);
  if (offset < 0) {
    slabs_.ReserveSpan(size_class);
    const int64_t span = span_extents_.Allocate(SlabAllocator::kSpanBytes);
    if (span < 0) return nullptr;
    if (!RetainExtent(span, Bytes(SlabAllocator::kSpanBytes))) {
      span_extents_.Free(span, SlabAllocator::kSpanBytes);
      return nullptr;
    }
    span_end_ = std::max(span_end_, span + SlabAllocator::kSpanBytes);
    const uint32_t number = slabs_.AddSpan(size_class, span);
    for (int64_t page = 0; page < SlabAllocator::kSpanBytes; page += kPage.count()) {
      PageEntry(span + page) = kSpanBit | number;
    }
    offset = slabs_.Allocate(size_class);
  }
  CountLive(Bytes(SlabAllocator::ClassBytes(size_class)));
  return residency_.base() + offset;
}

bool Allocator::FreeSmall(uint32_t span, int64_t offset) {
  const int64_t bytes = slabs_.ObjectBytes(span, offset);
  bool empty = false;
  if (!slabs_.Free(span, offset, &empty)) return false;
  CountLive(Bytes(-bytes));
  if (!empty) return true;
  const int64_t begin = slabs_.RemoveSpan(span);
  for (int64_t page = 0; page < SlabAllocator::kSpanBytes; page += kPage.count()) PageEntry(begin + page) = 0;
  residency_.Drop(residency_.RangeOf(residency_.base() + begin, Bytes(SlabAllocator::kSpanBytes)));
  span_extents_.Free(begin, SlabAllocator::kSpanBytes);
  return true;
}

bool Allocator::Free(void* pointer, Allocation* freed) {
  if (!residency_.Contains(pointer)) return false;
  const int64_t offset = OffsetOf(pointer);
  os::LockGuard guard(lock_);
  const uint32_t entry = PageEntry(offset);
  if ((entry & kSpanBit) != 0) {
    if (freed != nullptr) *freed = Allocation();
    return FreeSmall(entry & ~kSpanBit, offset);
  }
  if (entry == 0 || records_[entry - 1].address != pointer) return false;
  Allocation& record = records_[entry - 1];
  if (freed != nullptr) *freed = record;
  PageEntry(offset) = 0;
  CountLive(Bytes(0) - record.requested);
  residency_.Drop(residency_.RangeOf(pointer, record.rounded));
  if (record.planned) {
    ClearPlannedPages(offset, record.rounded);
  } else {
    extents_.Free(offset, record.rounded.count());
  }
  record = Allocation();
  free_records_.push_back(entry - 1);
  return true;
}

Bytes Allocator::UsableBytes(const void* pointer) const {
  if (!residency_.Contains(pointer)) return Bytes(0);
  const int64_t offset = OffsetOf(pointer);
  os::LockGuard guard(lock_);
  const uint32_t entry = PageEntry(offset);
  if ((entry & kSpanBit) != 0) return Bytes(slabs_.ObjectBytes(entry & ~kSpanBit, offset));
  if (entry == 0 || records_[entry - 1].address != pointer) return Bytes(0);
  return records_[entry - 1].rounded;
}

bool Allocator::Find(const void* address, Allocation* found) const {
  os::LockGuard guard(lock_);
  for (const Allocation& record : records_) {
    if (record.serial == 0 || address < record.address || address >= record.address + record.rounded.count()) continue;
    *found = record;
    return true;
  }
  return false;
}

std::vector<Allocation> Allocator::LiveLarge() const {
  std::vector<Allocation> live;
  {
    os::LockGuard guard(lock_);
    for (const Allocation& record : records_) {
      if (record.serial != 0) live.push_back(record);
    }
  }
  std::sort(live.begin(), live.end(), [](auto& a, auto& b) { return a.address < b.address; });
  return live;
}

Bytes Allocator::SpanBytes() const {
  os::LockGuard guard(lock_);
  return Bytes(span_end_ == 0 ? 0 : span_end_ - planned_end_);
}

AllocatorStats Allocator::Stats() const {
  AllocatorStats stats;
  stats.metadata = os::ResidentBytes(pages_, IndexBytes());
  os::LockGuard guard(lock_);
  stats.live = live_;
  stats.peak_live = peak_live_;
  const size_t registry = records_.capacity() * sizeof(Allocation) + free_records_.capacity() * sizeof(uint32_t) +
                          planned_pages_.capacity() * sizeof(uint64_t);
  stats.metadata += Bytes(static_cast<int64_t>(registry) + slabs_.MetadataBytes() + extents_.MetadataBytes() +
                          span_extents_.MetadataBytes());
  return stats;
}

}  // namespace thermocline::arena

// Allocator: addresses for tensors, and the registry of those that live.
//
// The address space has three areas: small objects in slabs; tensors that no plan knows, by best fit; and the planned
// area, whose offsets a plan has solved beforehand. Addresses never change while a tensor lives. Thread safety: every
// function from any thread. It takes one short lock, never in a fault handler, and never touches tensor memory under
// it. Ownership: borrows the residency. Errors: nullptr when neither tier has room; Free says false for what is not a
// live allocation's beginning. Without memory for the bookkeeping Allocate and AllocateAt throw std::bad_alloc, and
// have changed nothing; Free needs none.
#ifndef THERMOCLINE_ARENA_ALLOCATOR_H_
#define THERMOCLINE_ARENA_ALLOCATOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "src/arena/extent_allocator.h"
#include "src/arena/residency.h"
#include "src/arena/slab_allocator.h"
#include "src/base/units.h"
#include "src/os/futex.h"

namespace thermocline::arena {

// A live allocation of at least kSmallest bytes ("large"): what a plan places.
struct Allocation {
  char* address = nullptr;
  Bytes requested;
  Bytes rounded;         // to pages
  uint64_t serial = 0;   // counts all large allocations; never reused
  bool planned = false;  // lies where a plan put it
};

struct AllocatorStats {
  Bytes live;  // requested and not freed
  Bytes peak_live;
  // Bookkeeping: the registry, the touched part of the page index, slabs and free extents. The residency counts its
  // own.
  Bytes metadata;
};

class Allocator {
 public:
  static constexpr Bytes kSmallest{32 << 10};
  static constexpr Bytes kPage{4096};
  static constexpr Bytes kAlignment{64};

  static absl::StatusOr<std::unique_ptr<Allocator>> Create(Residency& residency);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  static Bytes Rounded(Bytes bytes) { return RoundUp(bytes, kPage); }
  static bool IsLarge(Bytes bytes) { return bytes >= kSmallest; }

  // `own_pages`: also a small object gets pages of its own (while a step is profiled). `serial`, where given, receives
  // the serial number, 0 for an object in a slab.
  void* Allocate(Bytes bytes, Bytes alignment, bool own_pages, uint64_t* serial);
  // At this offset of the arena, in the planned area. nullptr when something lives there, or there is no room.
  void* AllocateAt(int64_t offset, Bytes bytes, uint64_t* serial);
  // `freed`, where given, receives what it was; serial 0 for an object in a slab.
  bool Free(void* pointer, Allocation* freed);
  // Usable bytes; 0 when the pointer is no live allocation's beginning.
  Bytes UsableBytes(const void* pointer) const;
  // The large allocation in which the address lies, not only at its beginning. Slow (a search).
  bool Find(const void* address, Allocation* found) const;
  // Every live large allocation, by address.
  std::vector<Allocation> LiveLarge() const;

  int64_t planned_begin() const { return planned_begin_; }
  int64_t planned_end() const { return planned_end_; }
  int64_t OffsetOf(const void* pointer) const { return static_cast<const char*>(pointer) - residency_.base(); }
  AllocatorStats Stats() const;
  // Address space that slabs occupy, from its area's beginning.
  Bytes SpanBytes() const;

  void PrepareFork() { lock_.Lock(); }
  void AfterFork(bool child) { child ? lock_.ResetAfterFork() : lock_.Unlock(); }

 private:
  explicit Allocator(Residency& residency);
  void* AllocateSmall(Bytes bytes);
  void ReserveRecord();
  void* Register(int64_t offset, Bytes bytes, bool planned, uint64_t* serial);
  bool RetainExtent(int64_t offset, Bytes rounded);
  bool TakePlannedPages(int64_t offset, Bytes rounded);
  void ClearPlannedPages(int64_t offset, Bytes rounded);
  bool FreeSmall(uint32_t span, int64_t offset);
  void CountLive(Bytes change);
  Bytes IndexBytes() const { return Bytes(residency_.size() / kPage * static_cast<int64_t>(sizeof(uint32_t))); }
  uint32_t& PageEntry(int64_t offset) const { return pages_[offset / kPage.count()]; }

  // Entries of pages_: 0 nothing begins here; with kSpanBit a slab's page; else 1 + index into records_.
  static constexpr uint32_t kSpanBit = 0x8000'0000u;

  Residency& residency_;
  mutable os::FutexLock lock_;
  int64_t planned_begin_, planned_end_;
  ExtentAllocator extents_;
  ExtentAllocator span_extents_;
  SlabAllocator slabs_;
  uint32_t* pages_ = nullptr;
  std::vector<Allocation> records_;
  std::vector<uint32_t> free_records_;
  std::vector<uint64_t> planned_pages_;  // a bit for each page of the planned area that something lives in
  uint64_t next_serial_ = 1;
  Bytes live_, peak_live_;
  int64_t span_end_ = 0;  // one past the last span so far
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_ALLOCATOR_H_

#include "src/arena/residency.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"

namespace thermocline::arena {
namespace {

constexpr uint32_t kEnd = Residency::kNone.value();
// Offsets in the arena are aligned as their addresses are, up to this.
constexpr Bytes kBaseAlignment = GiB(1);

constexpr int64_t kHeldPauseNanos = 5'000'000;

// Frames that granules without a slot may not fill, so that those with one can always be exchanged.
int64_t ExchangeMargin(int64_t frames) { return std::clamp<int64_t>(frames / 8, 1, 8); }

}  // namespace

absl::StatusOr<std::unique_ptr<Residency>> Residency::Create(const ResidencyOptions& options, os::Memory& memory,
                                                             tier::BlockTier& tier, const Clock& clock) {
  const int64_t granule = options.granule_bytes.count();
  if (granule < 4096 || !std::has_single_bit(static_cast<uint64_t>(granule))) {
    return absl::InvalidArgumentError(
        absl::StrCat("granule_bytes is ", granule, ", not a power of two of at least 4096"));
  }
  absl::StatusOr<GranuleTable> table = GranuleTable::Create(options.address_space / options.granule_bytes);
  if (!table.ok()) return table.status();
  auto frames = FramePool::Create(memory, options.granule_bytes, options.frames, options.most_frames);
  if (!frames.ok()) return frames.status();
  absl::StatusOr<char*> base = memory.Reserve(options.address_space, kBaseAlignment);
  if (!base.ok()) return base.status();
  auto residency = std::unique_ptr<Residency>(
      new Residency(options, memory, tier, clock, *base, *std::move(table), *std::move(frames)));
  // What goes through the page cache takes room there from the first transfer on.
  const tier::BlockTierStats stats = tier.Stats();
  residency->CountCachedLocked(stats.cached + stats.cached_in_flight);
  if (residency->fork_canary_ == nullptr) return absl::ResourceExhaustedError("no memory for one page");
  if (absl::Status status = os::RegisterFaultRange(*base, *base + options.address_space.count(), residency.get());
      !status.ok()) {
    return status;
  }
  if (absl::Status status = memory.Watch(*base, options.address_space, options.granule_bytes, residency.get());
      !status.ok()) {
    return status;
  }
  return residency;
}

Residency::Residency(const ResidencyOptions& options, os::Memory& memory, tier::BlockTier& tier, const Clock& clock,
                     char* base, GranuleTable table, std::unique_ptr<FramePool> frames)
    : options_(options),
      granule_shift_(std::countr_zero(static_cast<uint64_t>(options.granule_bytes.count()))),
      memory_(memory),
      tier_(tier),
      clock_(clock),
      base_(base),
      table_(std::move(table)),
      frames_(std::move(frames)),
      protection_gate_(memory.Plain()) {
  stranded_.reserve(frames_->most());
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return;
  fork_canary_ = static_cast<volatile char*>(page);
  madvise(page, 4096, MADV_WIPEONFORK);
  *fork_canary_ = 1;
}

Residency::~Residency() {
  os::UnregisterFaultRange(this);
  memory_.Unwatch(base_, options_.address_space);
  if (fork_canary_ != nullptr) munmap(const_cast<char*>(fork_canary_), 4096);
}

// ---------------------------------------------------------------------------------------------------------------------
// Lives of tensors.

bool Residency::Retain(Range range) {
  bool all_backed = true;
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) {
    const uint32_t before = table_[GranuleId(i)].live.fetch_add(1);
    all_backed &= (before & Granule::kBacked) != 0;
    // What died there made it the first to leave; what is born there is used now. A plan knows without being told.
    if (before == Granule::kBacked && !planned_.load(std::memory_order_relaxed)) MarkUsed(GranuleId(i));
  }
  if (all_backed) return true;
  Lock lock(*this);
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) {
    if ((table_[GranuleId(i)].live.load() & Granule::kBacked) != 0 || BackLocked(GranuleId(i))) continue;
    for (uint32_t j = range.first.value(); j <= range.last.value(); ++j) {
      table_[GranuleId(j)].live.fetch_sub(1);
      if (IsDeadLocked(GranuleId(j))) VacateLocked(GranuleId(j));
    }
    return false;
  }
  return true;
}

bool Residency::MayBackWithoutSlotLocked() const {
  return forked_child_ || slotless_ < frames_->limit() - ExchangeMargin(frames_->limit());
}

// Dead granules that wait to be reused hold frames and slots; where both run out, they must go before anything fails.
void Residency::VacateAllDeadLocked() {
  for (uint32_t i = lru_head_; i != kEnd;) {
    const uint32_t next = table_[GranuleId(i)].lru_next;
    if (IsDeadLocked(GranuleId(i))) VacateLocked(GranuleId(i));
    i = next;
  }
}

bool Residency::BackLocked(GranuleId id) {
  Granule& granule = table_[id];
  if (!MayBackWithoutSlotLocked()) {
    granule.slot = NewSlotLocked();
    if (granule.slot == kNoSlot) {
      VacateAllDeadLocked();
      if (!MayBackWithoutSlotLocked()) granule.slot = NewSlotLocked();
    }
    if (granule.slot == kNoSlot && !MayBackWithoutSlotLocked()) {
      writes_failing_.store(true);
      return false;
    }
    granule.has_slot = granule.slot != kNoSlot;
  }
  ++(granule.has_slot ? slots_ : slotless_);
  granule.fresh = true;
  granule.clean = false;
  ++backed_;
  granule.live.fetch_or(Granule::kBacked);
  if (!forked_child_) {
    if (!planned_.load(std::memory_order_relaxed)) ReclaimDeadLocked(1);
    if (TakeFrameLocked(granule)) MapOrRefuseLocked(id, os::Protection::kReadWrite);
    if (granule.presence.load() == Presence::kHole) memory_.OpenHole(AddressOf(id), granule_bytes());
  }
  return true;
}

void Residency::Drop(Range range) {
  // All in the layout of a plan that runs, or all outside.
  const bool planned = planned_.load(std::memory_order_relaxed) &&
                       range.first.value() >= planned_begin_.load(std::memory_order_relaxed) &&
                       range.last.value() < planned_end_.load(std::memory_order_relaxed);
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) {
    Granule& granule = table_[GranuleId(i)];
    if (granule.live.fetch_sub(1) - 1 != Granule::kBacked) continue;
    if (planned && granule.presence.load() == Presence::kMapped) continue;
    Lock lock(*this);
    if (!IsDeadLocked(GranuleId(i))) continue;
    if (granule.presence.load() == Presence::kMapped && granule.in_lru) {
      // First in line to be reused.
      LruRemoveLocked(GranuleId(i));
      granule.in_lru = true;
      granule.lru_previous = kEnd;
      granule.lru_next = lru_head_;
      (lru_head_ == kEnd ? lru_tail_ : table_[GranuleId(lru_head_)].lru_previous) = i;
      lru_head_ = i;
    } else if (granule.presence.load() != Presence::kMapped) {
      VacateLocked(GranuleId(i));
    }
  }
}

bool Residency::IsDeadLocked(GranuleId id) const { return table_[id].live.load() == Granule::kBacked; }

// Forgets a dead granule. Keeps it when a tensor was born in it at this very moment, or when a transfer is in flight.
void Residency::VacateLocked(GranuleId id) {
  Granule& granule = table_[id];
  const Presence presence = granule.presence.load();
  if (granule.writing || granule.pins != 0 || presence == Presence::kFetching || IsHeldLocked(granule)) return;
  uint32_t dead = Granule::kBacked;
  if (!granule.live.compare_exchange_strong(dead, 0)) return;
  if (presence == Presence::kMapped && !forked_child_) {
    granule.clean = false;  // nobody's bytes
    if (!UnmapLocked(id)) {
      granule.live.fetch_or(Granule::kBacked);
      return;
    }
    GiveFrameLocked(granule);
  }
  if (presence == Presence::kEvicting) GiveFrameLocked(granule);  // stranded: its frame is at home
  if (presence == Presence::kMapped && forked_child_)
    memory_.Protect(AddressOf(id), granule_bytes(), os::Protection::kNone);
  granule.presence.store(Presence::kHole);
  if (!forked_child_) memory_.CloseHole(AddressOf(id), granule_bytes());
  if (granule.has_slot) {
    FreeSlotLocked(granule);
  } else {
    --slotless_;
  }
  --backed_;
  granule.fresh = granule.clean = granule.dirtied = granule.refused = granule.no_room = false;
  granule.retries = 0;
  NoticeLocked(id);
}

// A tier that has no memory to account for another slot is a full one.
SlotId Residency::NewSlotLocked() {
  try {
    return tier_.AllocateSlot();
  } catch (const std::bad_alloc&) {
    return kNoSlot;
  }
}

// Kept until no child can read it any more; without memory to remember it, for ever, which costs room in the slow tier.
void Residency::QuarantineLocked(SlotId slot) {
  try {
    quarantine_.push_back(slot);
  } catch (const std::bad_alloc&) {
  }
}

void Residency::FreeSlotLocked(Granule& granule) {
  if (granule.slot_frozen) {
    QuarantineLocked(granule.slot);
  } else {
    tier_.FreeSlot(granule.slot);
  }
  granule.has_slot = granule.slot_frozen = false;
  --slots_;
}

// ---------------------------------------------------------------------------------------------------------------------
// Frames and mappings.

bool Residency::TakeFrameLocked(Granule& granule) {
  const FrameId frame = frames_->Take();
  if (frame == kNoFrame) return false;
  granule.frame = frame;
  granule.has_frame = true;
  room_trouble_ = room_trouble_said_ = false;
  return true;
}

void Residency::GiveFrameLocked(Granule& granule) {
  frames_->Give(granule.frame);
  granule.has_frame = false;
}

// Moves the granule's frame from its home to its address. False when there is no room for a mapping: the frame is then
// still at home, and the granule's state as it was.
bool Residency::MapLocked(GranuleId id, os::Protection protection) {
  Granule& granule = table_[id];
  if (recorder_ == nullptr && frames_->IsShared(granule.frame)) MakePrivateLocked(id);
  if (recorder_ != nullptr && granule.pins == 0) {
    granule.armed = true;
    protection = os::Protection::kNone;
  }
  if (const int error = memory_.Attach(frames_->Home(granule.frame), AddressOf(id), granule_bytes(), protection)) {
    memory_.Protect(frames_->Home(granule.frame), granule_bytes(), os::Protection::kReadWrite);
    granule.armed = false;
    map_error_.store(error);
    return false;
  }
  if (granule.armed && GateOf(granule).Arm(AddressOf(id), granule_bytes()) != 0) {
    // Unseen, but right.
    memory_.Protect(AddressOf(id), granule_bytes(), os::Protection::kReadWrite);
    granule.armed = granule.clean = false;
    granule.dirtied = true;
    protection = os::Protection::kReadWrite;
  }
  granule.protection = protection;
  granule.fresh = false;
  granule.refused = granule.no_room = false;
  LruInsertLocked(id);
  granule.presence.store(Presence::kMapped, std::memory_order_release);
  NoticeLocked(id);
  return true;
}

// For a hole that was given a frame. On failure the frame goes back, and those who wait are told.
bool Residency::MapOrRefuseLocked(GranuleId id, os::Protection protection) {
  if (MapLocked(id, protection)) return true;
  Granule& granule = table_[id];
  granule.presence.store(Presence::kHole);
  GiveFrameLocked(granule);
  RefuseLocked(id, map_error_.load());
  return false;
}

bool Residency::UnmapLocked(GranuleId id) {
  Granule& granule = table_[id];
  // Parts with different protections are separate mappings, which can't be moved as one.
  if (granule.armed && GateOf(granule).Disarm(AddressOf(id), granule_bytes()) != 0) return false;
  const int answer = DetachLocked(id);
  if (answer > 0) return false;
  granule.armed = granule.held = false;
  LruRemoveLocked(id);
  if (answer != os::kMovedButWritten || !granule.clean) return true;
  // Its slot may hold older bytes.
  granule.clean = false;
  granule.dirtied = true;
  if (!MapLocked(id, os::Protection::kReadWrite)) StrandLocked(id);
  return false;
}

// As Memory::Detach. What could not leave is mapped and open to writes.
int Residency::DetachLocked(GranuleId id) {
  Granule& granule = table_[id];
  const int answer = memory_.Detach(AddressOf(id), frames_->Home(granule.frame), granule_bytes());
  if (answer == EBUSY && memory_.tells_held_frames()) {
    StayLocked(id);
  } else if (answer > 0) {
    granule.armed = false;
    OpenForWritingLocked(id);
  }
  return answer;
}

// The kernel or a device holds its pages, and may write to them past the page tables.
void Residency::StayLocked(GranuleId id) {
  Granule& granule = table_[id];
  ++held_;
  granule.held = true;
  held_until_nanos_ = clock_.NowNanos() + kHeldPauseNanos;
  granule.armed = false;
  OpenForWritingLocked(id);
  // Last in line: nothing behind it has to wait.
  LruRemoveLocked(id);
  LruInsertLocked(id);
}

bool Residency::IsHeldLocked(const Granule& granule) const {
  return granule.held && clock_.NowNanos() < held_until_nanos_;
}

// Its frame is at home, and there is no room for its mapping: until it is touched, or until another try.
void Residency::StrandLocked(GranuleId id) {
  Granule& granule = table_[id];
  memory_.Protect(frames_->Home(granule.frame), granule_bytes(), os::Protection::kReadWrite);
  LruRemoveLocked(id);
  granule.armed = granule.clean = false;
  granule.presence.store(Presence::kEvicting);
  NoteStrandedLocked(id);
}

// In the midst of a move, which must not fail for want of memory.
void Residency::NoteStrandedLocked(GranuleId id) {
  if (std::find(stranded_.begin(), stranded_.end(), id) != stranded_.end()) return;
  if (stranded_.size() == stranded_.capacity()) {
    std::erase_if(stranded_, [this](GranuleId other) { return table_[other].presence.load() != Presence::kEvicting; });
  }
  stranded_.push_back(id);
}

void Residency::LruInsertLocked(GranuleId id) {
  Granule& granule = table_[id];
  granule.in_lru = true;
  granule.lru_next = kEnd;
  granule.lru_previous = lru_tail_;
  (lru_tail_ == kEnd ? lru_head_ : table_[GranuleId(lru_tail_)].lru_next) = id.value();
  lru_tail_ = id.value();
}

void Residency::LruRemoveLocked(GranuleId id) {
  Granule& granule = table_[id];
  if (!granule.in_lru) return;
  (granule.lru_previous == kEnd ? lru_head_ : table_[GranuleId(granule.lru_previous)].lru_next) = granule.lru_next;
  (granule.lru_next == kEnd ? lru_tail_ : table_[GranuleId(granule.lru_next)].lru_previous) = granule.lru_previous;
  granule.in_lru = false;
}

void Residency::MarkUsed(GranuleId id) {
  Lock lock(*this);
  if (!table_[id].in_lru || lru_tail_ == id.value()) return;
  LruRemoveLocked(id);
  LruInsertLocked(id);
}

void Residency::ReclaimDeadLocked(int64_t wanted) {
  // Dead granules stand at the front of the list.
  while (frames_->available() < wanted && lru_head_ != kEnd && IsDeadLocked(GranuleId(lru_head_))) {
    const uint32_t head = lru_head_;
    VacateLocked(GranuleId(head));
    if (lru_head_ == head) return;  // can't go now
  }
}

}  // namespace thermocline::arena

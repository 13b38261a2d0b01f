#include "src/arena/residency.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"

namespace thermocline::arena {
namespace {

constexpr uint32_t kEnd = Residency::kNone.value();
// Offsets in the arena are aligned as their addresses are, up to this.
constexpr Bytes kBaseAlignment = GiB(1);
// How long a touch that no frame can be freed for sleeps before it asks again.
constexpr int64_t kPauseNanos = 20'000'000;

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
  if (residency->fork_canary_ == nullptr) return absl::ResourceExhaustedError("no memory for one page");
  if (absl::Status status = os::RegisterFaultRange(*base, *base + options.address_space.count(), residency.get());
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
      protection_gate_(memory) {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return;
  fork_canary_ = static_cast<volatile char*>(page);
  madvise(page, 4096, MADV_WIPEONFORK);
  *fork_canary_ = 1;
}

Residency::~Residency() {
  os::UnregisterFaultRange(this);
  memory_.Unmap(base_, options_.address_space);
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
    granule.slot = tier_.AllocateSlot();
    if (granule.slot == kNoSlot) {
      VacateAllDeadLocked();
      if (!MayBackWithoutSlotLocked()) granule.slot = tier_.AllocateSlot();
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
  if (granule.writing || granule.pins != 0 || presence == Presence::kFetching) return;
  uint32_t dead = Granule::kBacked;
  if (!granule.live.compare_exchange_strong(dead, 0)) return;
  if (presence == Presence::kMapped && !forked_child_) {
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

void Residency::FreeSlotLocked(Granule& granule) {
  if (granule.slot_frozen) {
    quarantine_.push_back(granule.slot);
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
  if (memory_.Detach(AddressOf(id), frames_->Home(granule.frame), granule_bytes()) != 0) return false;
  granule.armed = false;
  LruRemoveLocked(id);
  return true;
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

// ---------------------------------------------------------------------------------------------------------------------
// Touches.

template <typename Attempt>
Residency::Step Residency::Until(GranuleId id, Attempt attempt) {
  int64_t began = 0;
  Step step;
  while (true) {
    uint32_t seen;
    {
      Lock lock(*this);
      step = attempt(began != 0);
      seen = NoticeWord(id).load();
    }
    if (step != Step::kWait && step != Step::kPause) break;
    if (began == 0) began = clock_.NowNanos();
    os::FutexWait(NoticeWord(id), seen, step == Step::kPause ? kPauseNanos : -1);
  }
  if (began != 0) exposed_nanos_.fetch_add(clock_.NowNanos() - began, std::memory_order_relaxed);
  return step;
}

os::FaultOutcome Residency::OnFault(char* address, os::FaultAccess access) {
  // A copy of the process that was made behind libc's back: its holes can't be filled, and locks may be held for ever.
  if (InForkedCopy()) return os::FaultOutcome::kNotOurs;
  const GranuleId id = GranuleOf(address);
  const Step step = Until(id, [&](bool waited) { return FaultStepLocked(id, address, access, waited); });
  switch (step) {
    case Step::kNotOurs:
      return os::FaultOutcome::kNotOurs;
    case Step::kLost:
      return os::FaultOutcome::kDataLost;
    default:
      return os::FaultOutcome::kResolved;
  }
}

Residency::Step Residency::FaultStepLocked(GranuleId id, char* address, os::FaultAccess access, bool waited) {
  Granule& granule = table_[id];
  if ((granule.live.load() & Granule::kBacked) == 0) return Step::kNotOurs;
  ++faults_;
  const Step step = BringInLocked(id, waited);
  room_trouble_ |= step == Step::kPause;
  if (step != Step::kDone) return step;
  if (granule.armed && recorder_ == nullptr) {
    // A forked child of a profiled step: nobody counts here.
    granule.armed = false;
    OpenForWritingLocked(id);
  } else if (granule.armed) {
    OpenArmedLocked(id, address, access);
  } else if (access == os::FaultAccess::kWrite && granule.protection != os::Protection::kReadWrite) {
    OpenForWritingLocked(id);
  }
  return Step::kDone;
}

// Mapped again while it was leaving: the copy that was being made counts for nothing.
void Residency::TakeBackLocked(Granule& granule) {
  if (granule.writing) --leaving_;
  granule.dirtied = true;
}

// One attempt to have the granule mapped.
Residency::Step Residency::BringInLocked(GranuleId id, bool waited) {
  Granule& granule = table_[id];
  switch (granule.presence.load()) {
    case Presence::kMapped:
      return Step::kDone;
    case Presence::kFailed:
      return Step::kLost;
    case Presence::kFetching:
      return Step::kWait;
    case Presence::kEvicting:
      // Without room for a mapping: until the write-out ends.
      if (!MapLocked(id, os::Protection::kReadWrite)) return granule.writing ? Step::kWait : Step::kPause;
      TakeBackLocked(granule);
      return Step::kDone;
    case Presence::kHole:
      break;
  }
  if (forked_child_) return ChildBringInLocked(id);
  if (std::exchange(granule.refused, false) && waited) return granule.no_room ? Step::kPause : Step::kLost;
  if (granule.fresh) {
    // This may run in a fault handler: reclaiming dead granules, which frees slots, is left to the mover.
    if (TakeFrameLocked(granule)) return MapOrRefuseLocked(id, os::Protection::kReadWrite) ? Step::kDone : Step::kLost;
  }
  DemandLocked(id);
  return Step::kWait;
}

Residency::Step Residency::ChildBringInLocked(GranuleId id) {
  Granule& granule = table_[id];
  if (const int error = memory_.MapFresh(AddressOf(id), granule_bytes(), false)) {
    refusal_error_.store(error);
    return Step::kLost;
  }
  if (granule.fresh) {
    // Zeroes, as mapped.
  } else if (const int error = tier_.ReadSync(granule.slot, AddressOf(id))) {
    memory_.Protect(AddressOf(id), granule_bytes(), os::Protection::kNone);
    FailLocked(id, error);
    return Step::kLost;
  }
  granule.fresh = false;
  granule.protection = os::Protection::kReadWrite;
  granule.presence.store(Presence::kMapped);
  return Step::kDone;
}

void Residency::OpenForWritingLocked(GranuleId id) {
  Granule& granule = table_[id];
  if (granule.armed) {
    GateOf(granule).Open(AddressOf(id), granule_bytes(), os::FaultAccess::kWrite);
  } else {
    memory_.Protect(AddressOf(id), granule_bytes(), os::Protection::kReadWrite);
  }
  granule.protection = os::Protection::kReadWrite;
  granule.clean = false;
  granule.dirtied = true;
  if (granule.leaving) {
    granule.leaving = false;
    --leaving_;
  }
}

void Residency::NoticeLocked(GranuleId id) {
  NoticeWord(id).fetch_add(1);
  os::FutexWakeAll(NoticeWord(id));
}

void Residency::DemandLocked(GranuleId id) {
  if (table_[id].demanded) return;
  PushDemandLocked(id);
  if (sink_ != nullptr) sink_->OnDemand();
}

void Residency::PushDemandLocked(GranuleId id) {
  Granule& granule = table_[id];
  granule.demanded = true;
  granule.next_demand = kEnd;
  (demand_tail_ == kEnd ? demand_head_ : table_[GranuleId(demand_tail_)].next_demand) = id.value();
  demand_tail_ = id.value();
}

GranuleId Residency::PopDemandLocked() {
  if (demand_head_ == kEnd) return kNone;
  const GranuleId id(demand_head_);
  demand_head_ = table_[id].next_demand;
  if (demand_head_ == kEnd) demand_tail_ = kEnd;
  table_[id].demanded = false;
  return id;
}

void Residency::RefuseLocked(GranuleId id, int error, bool no_room) {
  ++refusals_;
  refusal_error_.store(error);
  table_[id].refused = true;
  table_[id].no_room = no_room;
  NoticeLocked(id);
}

absl::Status Residency::Wait(GranuleId id) {
  bool served = false;
  const Step step = Until(id, [&](bool waited) {
    Granule& granule = table_[id];
    // It was brought in and has left again: that counts.
    if (served && !granule.demanded && granule.presence.load() == Presence::kHole && !granule.refused)
      return Step::kDone;
    served = true;
    if ((granule.live.load() & Granule::kBacked) == 0) return Step::kDone;
    const Step brought = BringInLocked(id, waited);
    return brought == Step::kPause ? Step::kLost : brought;
  });
  return step == Step::kLost ? ErrorOf(id) : absl::OkStatus();
}

// New, and without a frame.
bool Residency::FrameInDoubt(GranuleId id) const {
  const Granule& granule = table_[id];
  return granule.presence.load(std::memory_order_acquire) == Presence::kHole && granule.fresh &&
         (granule.live.load() & Granule::kBacked) != 0;
}

bool Residency::Secure(Range range) {
  if (forked_child_ || (planned_.load(std::memory_order_relaxed) && !writes_failing_.load())) return true;
  // Of what is larger than that the first parts would leave again, unused, before the last ones come.
  int64_t left = 0;
  {
    Lock lock(*this);
    left = std::max<int64_t>(1, frames_->limit() / 4);
    for (uint32_t i = range.first.value(); i <= range.last.value() && i < range.first.value() + left; ++i) {
      if (FrameInDoubt(GranuleId(i))) DemandLocked(GranuleId(i));
    }
  }
  for (uint32_t i = range.first.value(); i <= range.last.value() && left-- > 0; ++i) {
    const GranuleId id(i);
    if (IsMapped(id)) continue;
    const Step step = Until(id, [&](bool waited) {
      if (!FrameInDoubt(id)) return Step::kDone;
      const Step brought = BringInLocked(id, waited);
      return brought == Step::kPause ? Step::kLost : brought;
    });
    if (step == Step::kLost) return false;
  }
  return true;
}

void Residency::Ask(GranuleId id) {
  Lock lock(*this);
  if ((table_[id].live.load() & Granule::kBacked) != 0 && table_[id].presence.load() == Presence::kHole)
    DemandLocked(id);
}

bool Residency::MayPinLocked(Range range) const {
  int64_t more = 0;
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) more += table_[GranuleId(i)].pins == 0 ? 1 : 0;
  return more == 0 || forked_child_ || pinned_ + more <= frames_->limit() - kFewestFrames;
}

absl::Status Residency::Pin(Range range) {
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) {
    const GranuleId id(i);
    bool crowded = false;
    const Step step = Until(id, [&](bool waited) {
      Granule& granule = table_[id];
      if ((granule.live.load() & Granule::kBacked) == 0) return Step::kNotOurs;
      crowded = !MayPinLocked({id, range.last});
      if (crowded) return Step::kLost;
      const Step brought = BringInLocked(id, waited);
      if (brought == Step::kPause) return Step::kLost;
      if (brought != Step::kDone) return brought;
      if (granule.pins++ == 0) ++pinned_;
      OpenForWritingLocked(id);
      if (granule.armed) granule.protection = os::Protection::kNone;  // closed again with the next layer, once unpinned
      return Step::kDone;
    });
    if (step == Step::kDone) continue;
    if (i > range.first.value()) Unpin({range.first, GranuleId(i - 1)}).IgnoreError();
    if (crowded) {
      return absl::ResourceExhaustedError(
          absl::StrCat("pinning ", FormatBytes(granule_bytes() * (range.last.value() - range.first.value() + 1)),
                       " would leave fewer than ", kFewestFrames, " of the fast budget's frames of ",
                       FormatBytes(granule_bytes()), " to everything else. Unpin something, or raise the budget"));
    }
    return step == Step::kLost ? ErrorOf(id) : absl::NotFoundError("the range to pin holds no live tensor");
  }
  return absl::OkStatus();
}

absl::Status Residency::Unpin(Range range) {
  Lock lock(*this);
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) {
    if (table_[GranuleId(i)].pins == 0) return absl::FailedPreconditionError("unpin of a range that is not pinned");
  }
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) {
    Granule& granule = table_[GranuleId(i)];
    if (--granule.pins == 0) {
      --pinned_;
      // Touches may wait for its frame.
      for (std::atomic<uint32_t>& word : notices_) {
        if (!room_trouble_) break;
        word.fetch_add(1);
        os::FutexWakeAll(word);
      }
    }
    if (granule.armed && !granule.opened) {
      granule.opened = true;
      granule.next_opened = opened_head_;
      opened_head_ = i;
    }
  }
  return absl::OkStatus();
}

}  // namespace thermocline::arena

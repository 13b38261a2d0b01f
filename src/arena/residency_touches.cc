// Residency's touches: faults, demands, waits, pins. The rest of it: residency.cc, residency_moves.cc,
// residency_profiling.cc.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/arena/residency.h"
#include "src/base/parse_units.h"

namespace thermocline::arena {
namespace {

constexpr uint32_t kEnd = Residency::kNone.value();
// How long a touch that no frame can be freed for sleeps before it asks again.
constexpr int64_t kPauseNanos = 20'000'000;
// How often a touch that waits looks for signals that end the process.
constexpr int64_t kLookNanos = 100'000'000;

}  // namespace

template <typename Attempt>
Residency::Step Residency::Until(GranuleId id, Attempt attempt, const os::InterruptedCode* interrupted) {
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
    const int64_t most_nanos = interrupted != nullptr ? kLookNanos : -1;
    os::FutexWait(NoticeWord(id), seen, step == Step::kPause ? kPauseNanos : most_nanos);
    if (interrupted != nullptr) interrupted->LetDefaultSignalsThrough();
  }
  if (began != 0) exposed_nanos_.fetch_add(clock_.NowNanos() - began, std::memory_order_relaxed);
  return step;
}

os::FaultOutcome Residency::OnFault(char* address, os::FaultAccess access, const os::InterruptedCode& interrupted) {
  // A copy of the process that was made behind libc's back: its holes can't be filled, and locks may be held for ever.
  if (InForkedCopy()) return os::FaultOutcome::kNotOurs;
  const GranuleId id = GranuleOf(address);
  const Step step = Until(
      id, [&](bool waited) { return FaultStepLocked(id, address, access, waited); }, &interrupted);
  switch (step) {
    case Step::kNotOurs:
      return os::FaultOutcome::kNotOurs;
    case Step::kLost:
      return os::FaultOutcome::kDataLost;
    default:
      return os::FaultOutcome::kResolved;
  }
}

// One that the kernel holds for us: the thread may be anywhere, in a system call too.
Residency::Answer Residency::OnWatchedFault(os::WatchedFault& fault) {
  if (!lock_.TryLock()) return Answer::kBusy;
  const GranuleId id = GranuleOf(fault.address);
  Granule& granule = table_[id];
  const bool waited = fault.began_nanos != 0;
  kernel_faults_ += waited ? 0 : 1;
  const os::FaultAccess access = fault.write ? os::FaultAccess::kWrite : os::FaultAccess::kRead;
  const Step step = FaultStepLocked(id, fault.address, access, waited);
  const Presence presence = granule.presence.load();
  Answer answer = Answer::kDone;
  if (step == Step::kWait || step == Step::kPause) {
    if (!waited) fault.began_nanos = clock_.NowNanos();
    answer = Answer::kWait;
  } else if (step == Step::kDone && presence == Presence::kMapped && !granule.armed) {
    const bool closed = granule.protection == os::Protection::kRead;
    if (!fault.write_protected) {
      memory_.FillAbsent(fault.address, closed);
    } else if (!closed) {
      memory_.Protect(AddressOf(id), granule_bytes(), os::Protection::kReadWrite);
    }
  } else if (presence == Presence::kHole || presence == Presence::kFailed) {
    // No bytes to be had: a thread hears of it by a signal, the kernel by EFAULT.
    memory_.CloseHole(AddressOf(id), granule_bytes());
  }
  if (waited && answer == Answer::kDone) {
    exposed_nanos_.fetch_add(clock_.NowNanos() - fault.began_nanos, std::memory_order_relaxed);
  }
  lock_.Unlock();
  return answer;
}

Residency::Step Residency::FaultStepLocked(GranuleId id, char* address, os::FaultAccess access, bool waited) {
  Granule& granule = table_[id];
  if ((granule.live.load() & Granule::kBacked) == 0) return Step::kNotOurs;
  faults_ += waited ? 0 : 1;
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
  memory_.NotifyWaiters();
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
      memory_.NotifyWaiters();
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

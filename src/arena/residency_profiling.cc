// Residency's third part: what a profiled step closes and opens, and what backs it meanwhile.
#include <algorithm>

#include "src/arena/residency.h"

namespace thermocline::arena {
namespace {

constexpr uint32_t kEnd = Residency::kNone.value();

}  // namespace

AccessGate& Residency::GateOf(const Granule& granule) {
  if (gate_ != nullptr && frames_->IsShared(granule.frame) == gate_->needs_shared_frames()) return *gate_;
  return protection_gate_;
}

// One frame's memory for copies, inside the budget: a free one, or that of a granule that can leave at once.
bool Residency::HoldFrameLocked() {
  if (frames_->Hold()) return true;
  for (uint32_t i = lru_head_; i != kEnd;) {
    const uint32_t next = table_[GranuleId(i)].lru_next;
    if (MayLeaveLocked(GranuleId(i)) && ReleaseLocked(GranuleId(i), false)) return frames_->Hold();
    i = next;
  }
  return false;
}

// The frame of a mapped granule changes its backing; the address and the bytes stay. Touches meanwhile fault and wait.
// REQUIRES: a frame is held; no transfer is in flight.
bool Residency::ConvertMappedLocked(GranuleId id, bool shared, os::Protection protection) {
  Granule& granule = table_[id];
  char* const home = frames_->Home(granule.frame);
  if (granule.armed && GateOf(granule).Disarm(AddressOf(id), granule_bytes()) != 0) return false;
  const int answer = DetachLocked(id);
  if (answer > 0) return false;
  if (answer == os::kMovedButWritten) {
    granule.clean = false;
    if (protection == os::Protection::kRead) protection = os::Protection::kReadWrite;
  }
  frames_->Convert(granule.frame, shared);
  if (memory_.Attach(home, AddressOf(id), granule_bytes(), protection) == 0) {
    granule.protection = protection;
    return true;
  }
  // No room for the mapping: at home until it is touched, or until another try.
  StrandLocked(id);
  return false;
}

// A frame at home that a profiled step left shared. False when there is no memory for the copy: it works as it is.
bool Residency::MakePrivateLocked(GranuleId id) {
  if (!frames_->Hold()) return false;
  const bool converted = frames_->Convert(table_[id].frame, false) == 0;
  frames_->Unhold();
  return converted;
}

void Residency::Arm(AccessRecorder* recorder) {
  Lock lock(*this);
  recorder_ = recorder;
  profiling_stats_ = {};
  const bool wants_shared = gate_ != nullptr && gate_->needs_shared_frames();
  sharing_ = wants_shared && HoldFrameLocked();
  if (sharing_ && !frames_->BeginShared().ok()) {
    frames_->Unhold();
    sharing_ = false;
  }
  for (uint32_t i = lru_head_, next; i != kEnd; i = next) {
    const GranuleId id(i);
    Granule& granule = table_[id];
    next = granule.lru_next;
    // One whose write-out reads it through this mapping can't be closed now; it stays unseen until it moves.
    if (granule.writing || granule.pins != 0) continue;
    if (sharing_) {
      if (!ConvertMappedLocked(id, true, os::Protection::kNone)) continue;
      profiling_stats_.shared += frames_->IsShared(granule.frame);
    } else {
      memory_.Protect(AddressOf(id), granule_bytes(), os::Protection::kNone);
    }
    granule.protection = os::Protection::kNone;
    granule.armed = true;
    if (GateOf(granule).Arm(AddressOf(id), granule_bytes()) != 0) {
      granule.armed = false;
      OpenForWritingLocked(id);
    }
  }
  if (sharing_) frames_->Unhold();
}

void Residency::OpenArmedLocked(GranuleId id, char* address, os::FaultAccess access) {
  Granule& granule = table_[id];
  const bool writes = access == os::FaultAccess::kWrite;
  char* const begin = AddressOf(id);
  char* const end = begin + granule_bytes().count();
  AccessRecorder::Window window = recorder_->OnTouch(address, access);
  window.begin = std::max(window.begin, begin);
  window.end = std::min(window.end, end);
  const bool opened = GateOf(granule).Open(window.begin, Bytes(window.end - window.begin), access) == 0;
  if (!opened) {
    // No room for more mappings: open all of it, which makes it one mapping again and the profile coarser.
    ++profiling_stats_.coarse;
    if (GateOf(granule).Open(begin, granule_bytes(), os::FaultAccess::kWrite) != 0) OpenNeighboursLocked(id);
  }
  if (writes || !opened || !GateOf(granule).sees_every_write()) {
    granule.clean = false;
    granule.dirtied = true;
  }
  if (!granule.opened) {
    granule.opened = true;
    granule.next_opened = opened_head_;
    opened_head_ = id.value();
  }
}

// At the limit of mappings even a granule can't be opened alone where the kernel has joined it with its neighbours. All
// granules side by side with it that are closed by protection are opened together: that needs no further mapping.
void Residency::OpenNeighboursLocked(GranuleId id) {
  const auto closed = [this](int64_t i) {
    if (i < 0 || i >= table_.count()) return false;
    const Granule& granule = table_[GranuleId(static_cast<uint32_t>(i))];
    return granule.presence.load() == Presence::kMapped && granule.armed && !frames_->IsShared(granule.frame);
  };
  int64_t first = id.value();
  int64_t last = id.value();
  while (closed(first - 1)) --first;
  while (closed(last + 1)) ++last;
  for (int64_t i = first; i <= last; ++i) {
    Granule& granule = table_[GranuleId(static_cast<uint32_t>(i))];
    granule.clean = false;
    granule.dirtied = true;
    if (granule.opened) continue;
    granule.opened = true;
    granule.next_opened = opened_head_;
    opened_head_ = static_cast<uint32_t>(i);
  }
  memory_.Protect(AddressOf(GranuleId(static_cast<uint32_t>(first))), granule_bytes() * (last - first + 1),
                  os::Protection::kReadWrite);
}

void Residency::CloseOpened() {
  Lock lock(*this);
  uint32_t kept = kEnd;
  for (uint32_t i = opened_head_; i != kEnd;) {
    Granule& granule = table_[GranuleId(i)];
    const uint32_t next = granule.next_opened;
    granule.opened = false;
    if (granule.presence.load() == Presence::kMapped && granule.armed) {
      if (granule.pins != 0) {
        granule.opened = true;
        granule.next_opened = kept;
        kept = i;
      } else {
        GateOf(granule).Close(AddressOf(GranuleId(i)), granule_bytes());
      }
    }
    i = next;
  }
  opened_head_ = kept;
}

void Residency::CloseLocked(char* begin, Bytes size) {
  const Range range = RangeOf(begin, size);
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) {
    const Granule& granule = table_[GranuleId(i)];
    if (!granule.opened || !granule.armed || granule.presence.load() != Presence::kMapped || granule.pins != 0)
      continue;
    char* const at = std::max(begin, AddressOf(GranuleId(i)));
    char* const end = std::min(begin + size.count(), AddressOf(GranuleId(i)) + granule_bytes().count());
    // Where something in the granule is pinned, or there is no room for another mapping, it stays open, and unseen.
    GateOf(granule).Close(at, Bytes(end - at));
  }
}

void Residency::Disarm() {
  Lock lock(*this);
  recorder_ = nullptr;
  for (uint32_t i = opened_head_; i != kEnd; i = table_[GranuleId(i)].next_opened) table_[GranuleId(i)].opened = false;
  opened_head_ = kEnd;
  UnshareAllLocked(Extra::kNone);
  for (uint32_t i = lru_head_; i != kEnd; i = table_[GranuleId(i)].lru_next) {
    Granule& granule = table_[GranuleId(i)];
    if (!granule.armed) continue;
    GateOf(granule).Disarm(AddressOf(GranuleId(i)), granule_bytes());
    granule.armed = false;
    granule.protection = granule.clean ? os::Protection::kRead : os::Protection::kReadWrite;
    memory_.Protect(AddressOf(GranuleId(i)), granule_bytes(), granule.protection);
  }
  // Windows of 4 and 64 KiB have split the huge pages: moving a frame would cost 512 entries instead of one for ever.
  // The kernel takes the huge page before it gives the small ones back: one frame of the budget is held for that.
  if (granule_bytes() < MiB(2) || !HoldFrameLocked()) return;
  for (uint32_t i = lru_head_; i != kEnd; i = table_[GranuleId(i)].lru_next) {
    if (!frames_->IsShared(table_[GranuleId(i)].frame)) memory_.Collapse(AddressOf(GranuleId(i)), granule_bytes());
  }
  frames_->CollapseFree();
  frames_->Unhold();
}

// The end of a profiled step, or a fork in it: a child may not share pages with its parent. What is armed stays so, by
// page protection. A frame in flight is converted when it arrives. Where every frame is in use and none can leave at
// once, they stay shared and turn private as they move; at a fork they can't stay, and a copy more than the budget has
// is there for a moment.
void Residency::UnshareAllLocked(Extra extra) {
  if (!frames_->any_shared() && !sharing_) return;
  sharing_ = false;
  frames_->EndShared();
  const bool held = HoldFrameLocked();
  if (!held && extra == Extra::kNone) return;
  for (uint32_t i = lru_head_, next; i != kEnd; i = next) {
    const GranuleId id(i);
    Granule& granule = table_[id];
    next = granule.lru_next;
    if (!frames_->IsShared(granule.frame) || granule.writing) continue;
    // A pinned one may be in the kernel's hands: it keeps its pages, and is converted with its next move.
    if (granule.pins != 0) continue;
    const os::Protection protection = granule.armed   ? os::Protection::kNone
                                      : granule.clean ? os::Protection::kRead
                                                      : os::Protection::kReadWrite;
    ConvertMappedLocked(id, false, protection);
  }
  // What is being written out is read from pages that stay as they are until that ends: the copy may take their place.
  int64_t seen = 0;
  for (int64_t i = 0; i < table_.count() && seen < backed_ && frames_->any_shared(); ++i) {
    Granule& granule = table_[GranuleId(static_cast<uint32_t>(i))];
    if ((granule.live.load(std::memory_order_relaxed) & Granule::kBacked) == 0) continue;
    ++seen;
    if (granule.presence.load() == Presence::kEvicting && frames_->IsShared(granule.frame)) {
      frames_->Convert(granule.frame, false);
    }
  }
  if (held) frames_->Unhold();
}

}  // namespace thermocline::arena

// Residency's other half: the moves that the mover asks for, fork.
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/arena/residency.h"

namespace thermocline::arena {
namespace {

constexpr int kMostRetries = 3;
constexpr uint32_t kEnd = Residency::kNone.value();

}  // namespace

bool Residency::NeedsFrameLocked(GranuleId id) const {
  const Granule& granule = table_[id];
  return granule.presence.load() == Presence::kHole && (granule.live.load() & Granule::kBacked) != 0;
}

bool Residency::MayLeaveLocked(GranuleId id) const {
  const Granule& granule = table_[id];
  return granule.presence.load() == Presence::kMapped && granule.pins == 0 && !granule.writing &&
         !IsHeldLocked(granule);
}

bool Residency::ProvideLocked(GranuleId id) {
  Granule& granule = table_[id];
  if (granule.presence.load() == Presence::kMapped) return true;
  if (granule.presence.load() != Presence::kHole || frames_->available() == 0) return false;
  const bool vacant = (granule.live.load() & Granule::kBacked) == 0;
  if (vacant) {
    if (!BackLocked(id)) return false;
    if (granule.presence.load() == Presence::kMapped) return true;
    VacateLocked(id);  // no mapping to be had: backed for nobody, it would never be found again
    return false;
  }
  if (!granule.fresh || !TakeFrameLocked(granule)) return false;
  return MapOrRefuseLocked(id, os::Protection::kReadWrite);
}

std::optional<tier::Transfer> Residency::BeginFetchLocked(GranuleId id, bool for_writing) {
  Granule& granule = table_[id];
  if (!NeedsFrameLocked(id) || granule.fresh || granule.writing || !granule.has_slot || !TakeFrameLocked(granule)) {
    return std::nullopt;
  }
  granule.presence.store(Presence::kFetching);
  granule.protection = for_writing ? os::Protection::kReadWrite : os::Protection::kRead;
  granule.retries = 0;
  return tier::Transfer{id.value(), tier::Direction::kIn, granule.slot, frames_->Home(granule.frame)};
}

// A slot that may be written. A frozen one is left to the child that may read it.
bool Residency::SlotForWritingLocked(Granule& granule) {
  if (granule.has_slot && !granule.slot_frozen) return true;
  const SlotId slot = NewSlotLocked();
  if (slot == kNoSlot) {
    NoteFailedWriteLocked(ENOSPC);
    return false;
  }
  if (granule.has_slot) {
    QuarantineLocked(granule.slot);
  } else {
    --slotless_;
    ++slots_;
  }
  granule.slot = slot;
  granule.has_slot = true;
  granule.slot_frozen = false;
  return true;
}

std::optional<tier::Transfer> Residency::BeginWriteBackLocked(GranuleId id) {
  Granule& granule = table_[id];
  // A pinned granule may be written to past the page tables; an armed one is closed to the kernel.
  if (!MayLeaveLocked(id) || granule.clean || granule.armed || IsDeadLocked(id) || !SlotForWritingLocked(granule)) {
    return std::nullopt;
  }
  const int error = memory_.Freeze(AddressOf(id), frames_->Home(granule.frame), granule_bytes());
  if (error == ENOTCONN) {
    StrandLocked(id);
  } else if (error == EBUSY && memory_.tells_held_frames()) {
    StayLocked(id);
  } else if (error != 0) {
    OpenForWritingLocked(id);
  }
  if (error != 0) return std::nullopt;
  granule.held = false;
  granule.protection = os::Protection::kRead;
  granule.writing = true;
  granule.dirtied = false;
  return tier::Transfer{id.value(), tier::Direction::kOut, granule.slot, AddressOf(id)};
}

std::optional<tier::Transfer> Residency::BeginEvictLocked(GranuleId id) {
  Granule& granule = table_[id];
  if (!MayLeaveLocked(id)) return std::nullopt;
  if (granule.clean || IsDeadLocked(id)) {
    ReleaseLocked(id, false);
    return std::nullopt;
  }
  if (!SlotForWritingLocked(granule) || !UnmapLocked(id)) return std::nullopt;
  granule.presence.store(Presence::kEvicting);
  granule.writing = true;
  granule.dirtied = false;
  ++leaving_;
  return tier::Transfer{id.value(), tier::Direction::kOut, granule.slot, frames_->Home(granule.frame)};
}

bool Residency::ReleaseLocked(GranuleId id, bool when_clean) {
  Granule& granule = table_[id];
  if (granule.presence.load() != Presence::kMapped || granule.pins != 0 || IsHeldLocked(granule)) return false;
  if (granule.writing) {
    if (!when_clean || granule.dirtied || granule.leaving) return granule.leaving;
    granule.leaving = true;
    ++leaving_;
    return true;
  }
  if (IsDeadLocked(id)) {
    VacateLocked(id);
    return granule.presence.load() == Presence::kHole;
  }
  if (!granule.clean || !UnmapLocked(id)) return false;
  GiveFrameLocked(granule);
  granule.presence.store(Presence::kHole);
  if (IsDeadLocked(id)) VacateLocked(id);  // its last tensor died while it was leaving
  return true;
}

std::optional<tier::Transfer> Residency::FinishLocked(const tier::Completion& completion) {
  const GranuleId id(static_cast<uint32_t>(completion.tag));
  return table_[id].presence.load() == Presence::kFetching ? FinishFetchLocked(id, completion.error)
                                                           : FinishWriteLocked(id, completion.error);
}

std::optional<tier::Transfer> Residency::FinishFetchLocked(GranuleId id, int error) {
  Granule& granule = table_[id];
  if (error != 0) {
    ++io_errors_;
    if (++granule.retries <= kMostRetries) {
      return tier::Transfer{id.value(), tier::Direction::kIn, granule.slot, frames_->Home(granule.frame)};
    }
    GiveFrameLocked(granule);
    granule.presence.store(Presence::kFailed);
    memory_.CloseHole(AddressOf(id), granule_bytes());
    if (IsDeadLocked(id)) {
      VacateLocked(id);  // nobody's bytes: the next tensor there starts afresh
    } else {
      FailLocked(id, error);
    }
    return std::nullopt;
  }
  const os::Protection protection = granule.protection;
  granule.clean = protection != os::Protection::kReadWrite;
  MapOrRefuseLocked(id, protection);
  if (IsDeadLocked(id)) VacateLocked(id);
  return std::nullopt;
}

std::optional<tier::Transfer> Residency::FinishWriteLocked(GranuleId id, int error) {
  Granule& granule = table_[id];
  granule.writing = false;
  // One that was taken back while it was being written may fail because its memory was no longer there: of no account.
  if (error != 0 && !granule.dirtied) {
    ++io_errors_;
    ++failed_writes_in_row_;
    NoteFailedWriteLocked(error);
  }
  if (error == 0) {
    failed_writes_in_row_ = 0;
    writes_failing_.store(false);
    write_trouble_ = write_trouble_said_ = room_trouble_ = room_trouble_said_ = false;
  }
  const bool valid = error == 0 && !granule.dirtied;
  if (granule.presence.load() == Presence::kEvicting) {
    --leaving_;
    if (!valid) {
      // Its bytes stay in fast memory: at its address, or, where there is no room for a mapping, at home, from where it
      // is tried again.
      if (!MapLocked(id, os::Protection::kReadWrite)) {
        NoteStrandedLocked(id);
        NoticeLocked(id);
      }
      return std::nullopt;
    }
    granule.clean = true;
    GiveFrameLocked(granule);
    granule.presence.store(Presence::kHole);
    if (IsDeadLocked(id)) VacateLocked(id);
    NoticeLocked(id);
    return std::nullopt;
  }
  granule.clean = valid;
  if (granule.leaving) {
    granule.leaving = false;
    --leaving_;
    if (valid) ReleaseLocked(id, false);
  }
  NoticeLocked(id);
  return std::nullopt;
}

std::optional<tier::Transfer> Residency::RetryStrandedLocked() {
  if (stranded_.empty()) return std::nullopt;
  const GranuleId id = stranded_.back();
  stranded_.pop_back();
  Granule& granule = table_[id];
  if (granule.presence.load() != Presence::kEvicting || granule.writing) return std::nullopt;  // taken back meanwhile
  if (IsDeadLocked(id)) {
    VacateLocked(id);
    return std::nullopt;
  }
  if (MapLocked(id, os::Protection::kReadWrite)) {
    granule.dirtied = true;
    return std::nullopt;
  }
  if (!SlotForWritingLocked(granule)) {
    stranded_.insert(stranded_.begin(), id);
    return std::nullopt;
  }
  granule.writing = true;
  granule.dirtied = false;
  ++leaving_;
  return tier::Transfer{id.value(), tier::Direction::kOut, granule.slot, frames_->Home(granule.frame)};
}

void Residency::NoteFailedWriteLocked(int error) {
  writes_failing_.store(true);
  write_trouble_ = true;
  ++write_errors_;
  write_error_.store(error);
}

void Residency::FailLocked(GranuleId id, int error) {
  ++read_errors_;
  failed_granule_.store(id.value());
  read_error_.store(error);
  NoticeLocked(id);
}

absl::Status Residency::ReadError(int64_t count) const {
  return absl::DataLossError(absl::StrCat(
      "reading ", granule_bytes().count(), " bytes of granule ", failed_granule_.load(), " from ", tier_.Describe(),
      " failed: ", strerror(read_error_.load()), count > 1 ? absl::StrCat(" (and ", count - 1, " more)") : "",
      "; its tensors' bytes are lost, threads that touch them get SIGBUS. Check the disk"));
}

absl::Status Residency::WriteError(int64_t count) const {
  return absl::UnavailableError(absl::StrCat(
      "writing to ", tier_.Describe(), " failed: ", strerror(write_error_.load()),
      count > 1 ? absl::StrCat(" (", count, " times)") : "",
      "; the data stays in fast memory. Free space there or raise its daily limit, or name another place"));
}

absl::Status Residency::RefusalError() const {
  return absl::ResourceExhaustedError(
      absl::StrCat("a tensor that is away could not be brought in: ", strerror(refusal_error_.load()), "; ", pinned_,
                   " of ", frames_->limit(), " frames of the fast budget are pinned, and the others can't be written ",
                   "out, or vm.max_map_count is reached. Raise the budget or that limit"));
}

absl::Status Residency::TakeError() {
  Lock lock(*this);
  const int64_t reads = read_errors_ - std::exchange(read_errors_said_, read_errors_);
  const int64_t writes = write_errors_ - std::exchange(write_errors_said_, write_errors_);
  const int64_t refusals = refusals_ - std::exchange(refusals_said_, refusals_);
  if (reads > 0) return ReadError(reads);
  if (writes > 0) return WriteError(writes);
  return refusals > 0 ? RefusalError() : absl::OkStatus();
}

absl::Status Residency::ErrorOf(GranuleId id) {
  Lock lock(*this);
  if (table_[id].presence.load() == Presence::kFailed) return ReadError(1);
  return write_trouble_ ? WriteError(1) : RefusalError();
}

absl::Status Residency::last_error() {
  Lock lock(*this);
  if (read_errors_ > 0) return ReadError(1);
  if (write_errors_ > 0) return WriteError(1);
  return refusals_ > 0 ? RefusalError() : absl::OkStatus();
}

absl::Status Residency::TakeTrouble() {
  Lock lock(*this);
  if (room_trouble_ && !room_trouble_said_) {
    absl::Status trouble = absl::ResourceExhaustedError(
        absl::StrCat("a thread waits for fast memory: ", pinned_, " of the budget's ", frames_->limit(), " frames of ",
                     granule_bytes().count() / 1024, " KiB are pinned, and the others can't leave",
                     write_trouble_ ? absl::StrCat(" (", WriteError(1).message(), ")") : "",
                     ". It goes on as soon as something is unpinned or freed, or the slow tier takes data again"));
    room_trouble_said_ = true;
    write_trouble_said_ |= write_trouble_;
    return trouble;
  }
  if (!write_trouble_ || write_trouble_said_) return absl::OkStatus();
  absl::Status trouble = WriteError(1);
  write_trouble_said_ = true;
  return trouble;
}

// ---------------------------------------------------------------------------------------------------------------------
// Fork.

void Residency::PrepareFork() {
  fork_block_.emplace();
  lock_.Lock();
  UnshareAllLocked(Extra::kAllowed);
}

void Residency::ParentAfterFork() {
  frozen_ = true;
  // Everything with a slot: content there may be what the child reads.
  const int64_t count = table_.count();
  int64_t seen = 0;
  for (int64_t i = 0; i < count && seen < backed_; ++i) {
    Granule& granule = table_[GranuleId(static_cast<uint32_t>(i))];
    if ((granule.live.load(std::memory_order_relaxed) & Granule::kBacked) == 0) continue;
    ++seen;
    if (granule.has_slot && granule.presence.load() == Presence::kHole && !granule.fresh) granule.slot_frozen = true;
  }
  lock_.Unlock();
  fork_block_.reset();
}

void Residency::ChildAfterFork() {
  forked_child_ = true;
  *fork_canary_ = 1;
  memory_.AbandonAfterFork();
  sink_ = nullptr;
  recorder_ = nullptr;
  demand_head_ = demand_tail_ = kEnd;
  lock_.ResetAfterFork();
  fork_block_.reset();
}

void Residency::Thaw() {
  Lock lock(*this);
  if (!frozen_) return;
  frozen_ = false;
  for (SlotId slot : quarantine_) tier_.FreeSlot(slot);
  quarantine_.clear();
  int64_t seen = 0;
  for (int64_t i = 0; i < table_.count() && seen < backed_; ++i) {
    Granule& granule = table_[GranuleId(static_cast<uint32_t>(i))];
    if ((granule.live.load(std::memory_order_relaxed) & Granule::kBacked) == 0) continue;
    ++seen;
    granule.slot_frozen = false;
  }
}

ResidencyStats Residency::Stats() {
  Lock lock(*this);
  ResidencyStats stats;
  stats.frames_in_use = frames_->in_use();
  stats.peak_frames = frames_->peak_in_use();
  stats.peak_fast = frames_->peak_bytes();
  stats.backed = backed_;
  stats.slots = slots_;
  stats.faults = faults_;
  stats.exposed_nanos = exposed_nanos_.load(std::memory_order_relaxed);
  stats.io_errors = io_errors_;
  stats.pinned = pinned_;
  stats.refusals = refusals_;
  stats.held = held_;
  stats.kernel_faults = kernel_faults_;
  return stats;
}

void Residency::SetFrameLimit(int64_t frames) {
  Lock lock(*this);
  frames_->SetLimit(frames);
}

}  // namespace thermocline::arena

// Residency: which granules are in fast memory, and every safe way to change that.
//
// It keeps the promise that no byte is lost: each change of a granule is one step of the state machine below, made
// under one lock; a touch of a granule that is away faults, and OnFault makes it right from any thread. It decides
// nothing: the mover (room migrate) picks what to move.
//
//   vacant --Provide--> mapped --BeginWriteBack--> mapped, writing --FinishWrite--> mapped, clean --Release--> hole
//                        mapped --BeginEvict--> evicting --FinishWrite--> hole;  a touch of it --> mapped again
//   hole --BeginFetch--> fetching --FinishFetch--> mapped, clean;  a write to a clean one --> mapped
//
// Thread safety: Retain, Drop and OnFault from any thread; what ends in Locked needs a Residency::Lock, which blocks
// the thread's signals while it lives. Ownership: owns frames and states; the tier, the memory and the sink are
// borrowed. Errors: absl::Status on cold paths; a failed write keeps the granule in fast memory, a failed read (after
// retries) makes its touches end in SIGBUS. TakeError says each of them once. A touch that no frame can be freed for
// (all are pinned, or the slow tier takes no more) waits until one can; TakeTrouble says so once.
#ifndef THERMOCLINE_ARENA_RESIDENCY_H_
#define THERMOCLINE_ARENA_RESIDENCY_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/arena/access_gate.h"
#include "src/arena/access_recorder.h"
#include "src/arena/frame_pool.h"
#include "src/arena/granule.h"
#include "src/base/clock.h"
#include "src/base/units.h"
#include "src/os/fault_signal.h"
#include "src/os/futex.h"
#include "src/os/memory.h"
#include "src/tier/block_tier.h"

namespace thermocline::arena {

// Is told that someone waits for a granule or a frame. Called under the residency lock, also in signal handlers.
class DemandSink {
 public:
  virtual ~DemandSink() = default;
  virtual void OnDemand() = 0;
};

struct ResidencyOptions {
  Bytes granule_bytes = MiB(2);
  Bytes address_space;      // of the arena; a multiple of granule_bytes
  int64_t frames = 0;       // the fast budget
  int64_t most_frames = 0;  // what the budget may be raised to
};

struct ResidencyStats {
  int64_t frames_in_use = 0;
  int64_t peak_frames = 0;
  Bytes peak_fast;     // of frames and what counted with them at that time
  int64_t backed = 0;  // granules with content
  int64_t slots = 0;
  int64_t faults = 0;
  int64_t exposed_nanos = 0;  // that threads waited, in faults and in Wait
  int64_t io_errors = 0;
  int64_t pinned = 0;         // granules that are pinned now
  int64_t refusals = 0;       // waits that no frame could be freed for
  int64_t held = 0;           // evictions that were given up, as the kernel or a device held the pages
  int64_t kernel_faults = 0;  // touches and system calls that the kernel held until they were served
};

class Residency final : public os::FaultHandler, public os::WatchedFaultHandler {
 public:
  // A range of granules, [first, last].
  struct Range {
    GranuleId first, last;
  };

  static absl::StatusOr<std::unique_ptr<Residency>> Create(const ResidencyOptions& options, os::Memory& memory,
                                                           tier::BlockTier& tier, const Clock& clock);
  ~Residency() override;

  class Lock {
   public:
    explicit Lock(Residency& residency) : lock_(residency.lock_) {}

   private:
    os::SignalLock lock_;
  };

  char* base() const { return base_; }
  Bytes size() const { return options_.address_space; }
  Bytes granule_bytes() const { return options_.granule_bytes; }
  bool Contains(const void* address) const {
    return static_cast<const char*>(address) >= base_ && static_cast<const char*>(address) < base_ + size().count();
  }
  // REQUIRES: Contains(address).
  GranuleId GranuleOf(const void* address) const {
    return GranuleId(static_cast<uint32_t>((static_cast<const char*>(address) - base_) >> granule_shift_));
  }
  char* AddressOf(GranuleId id) const { return base_ + (int64_t{id.value()} << granule_shift_); }
  Range RangeOf(const void* begin, Bytes bytes) const {
    return {GranuleOf(begin), GranuleOf(static_cast<const char*>(begin) + (bytes.count() > 0 ? bytes.count() - 1 : 0))};
  }
  // Must be set before anything is retained.
  void SetDemandSink(DemandSink* sink) { sink_ = sink; }

  // A tensor is born over the range: its granules are backed from now on. False when neither tier has room for them;
  // nothing is changed then.
  bool Retain(Range range);
  // The tensor died. What no live tensor needs is forgotten: its frames are the first to be reused.
  void Drop(Range range);
  // While a plan says when the dead granules of its layout, [begin, end), are released, Drop leaves them alone, which
  // is faster.
  void SetPlanned(bool planned, GranuleId begin, GranuleId end) {
    planned_begin_.store(begin.value(), std::memory_order_relaxed);
    planned_end_.store(end.value(), std::memory_order_relaxed);
    planned_.store(planned, std::memory_order_relaxed);
  }

  bool IsMapped(GranuleId id) const { return table_[id].presence.load(std::memory_order_acquire) == Presence::kMapped; }
  // Nothing has been born in it yet: there is nothing to bring in.
  bool IsVacant(GranuleId id) const {
    return (table_[id].live.load(std::memory_order_relaxed) & Granule::kBacked) == 0;
  }
  // Asks for the granule and waits until it was brought in (it may have left again). An error when it can't be read.
  absl::Status Wait(GranuleId id);
  // Asks for it and returns.
  void Ask(GranuleId id);
  // A touch may need so many frames at once: an instruction that copies across two granules' ends. So many frames are
  // never pinned, and a budget has at least so many.
  static constexpr int64_t kFewestFrames = 4;
  // Sees to frames for what was allocated in the range and has none, where that is in doubt. False when none can be
  // freed, as the slow tier takes no more: the allocation must fail then, or a touch would wait. Not under a lock.
  bool Secure(Range range);
  // Brings the range in, makes it writable and keeps it there, physically too, until as many Unpins. ResourceExhausted
  // when fewer than kFewestFrames would be left to everything else.
  absl::Status Pin(Range range);
  absl::Status Unpin(Range range);
  // Most recently used, from now.
  void MarkUsed(GranuleId id);

  os::FaultOutcome OnFault(char* address, os::FaultAccess access, const os::InterruptedCode& interrupted) override;
  Answer OnWatchedFault(os::WatchedFault& fault) override;

  // ---- For the mover, under a Lock. Each returns false (or nothing) when the state does not allow it, and changes
  // nothing then: a wrong plan costs time only.
  bool ProvideLocked(GranuleId id);
  std::optional<tier::Transfer> BeginFetchLocked(GranuleId id, bool for_writing);
  std::optional<tier::Transfer> BeginWriteBackLocked(GranuleId id);
  std::optional<tier::Transfer> BeginEvictLocked(GranuleId id);
  bool ReleaseLocked(GranuleId id, bool when_clean);
  // Returns the transfer again when it should be retried.
  std::optional<tier::Transfer> FinishLocked(const tier::Completion& completion);
  // The granules that someone waits for, oldest first; kNone when there are none. The caller serves it or puts it back.
  static constexpr GranuleId kNone{0xffffffffu};
  GranuleId FirstDemandLocked() const { return GranuleId(demand_head_); }
  GranuleId PopDemandLocked();
  void PushDemandLocked(GranuleId id);
  bool HasDemandLocked() const { return demand_head_ != kNone.value(); }
  // The least recently used resident granule, and the next after one.
  GranuleId OldestLocked() const { return GranuleId(lru_head_); }
  GranuleId NewerLocked(GranuleId id) const { return GranuleId(table_[id].lru_next); }
  // Tells those who wait for the granule that it can't be had now: `error` says why. Touches wait on where nothing is
  // missing but a frame (`no_room`): they ask again in a while.
  void RefuseLocked(GranuleId id, int error, bool no_room = false);
  // Granules whose write-out failed when there was no room for the mapping that they came from. Each call tries the
  // next of them again: maps it, or returns the transfer that writes it out.
  bool HasStrandedLocked() const { return !stranded_.empty(); }
  std::optional<tier::Transfer> RetryStrandedLocked();
  // A granule that may leave now: mapped, not pinned, no write in flight.
  bool MayLeaveLocked(GranuleId id) const;
  bool IsDeadLocked(GranuleId id) const;
  bool NeedsFrameLocked(GranuleId id) const;
  const Granule& GranuleLocked(GranuleId id) const { return table_[id]; }
  FramePool& frames() { return *frames_; }
  // Frames that will be free when the write-outs in flight end.
  int64_t frames_leaving() const { return leaving_; }
  // Takes frames from dead granules until `wanted` are free.
  void ReclaimDeadLocked(int64_t wanted);
  bool writes_failing() const { return writes_failing_; }
  // Write-outs that failed since the last that succeeded, or since they were forgotten.
  int64_t failed_writes_in_row() const { return failed_writes_in_row_; }
  // TakeTrouble has something to say.
  bool HasTroubleLocked() const {
    return (room_trouble_ && !room_trouble_said_) || (write_trouble_ && !write_trouble_said_);
  }

  // ---- Profiling: from Arm to Disarm each first touch per window and layer is told to the recorder.
  // How touches are seen from the next Arm on; page protection where it is not set or can't be used. Borrowed.
  void SetAccessGate(AccessGate* gate) { gate_ = gate; }
  void Arm(AccessRecorder* recorder);
  // What the last profiled step could not see as finely as it should.
  struct ProfilingStats {
    int64_t shared = 0;  // granules whose frames were made shared at its begin
    int64_t coarse = 0;  // windows that could not be opened alone: the granule was opened as a whole
  };
  ProfilingStats profiling_stats() const { return profiling_stats_; }
  void CloseOpened();  // a new layer: every touch counts again
  // A tensor is born in whole pages that the touches of one before it have opened: its own count.
  void CloseLocked(char* begin, Bytes size);
  void Disarm();

  // ---- Fork. Between Prepare and one of the others no other thread changes anything here.
  void PrepareFork();
  // Slots that the child may read are kept as they are until Thaw.
  void ParentAfterFork();
  // In the child there is no mover: touches read their granules at once, into ordinary memory, and nothing is evicted.
  void ChildAfterFork();
  // No forked child is left that could read old slots.
  void Thaw();

  // What went wrong since the last call; each occurrence is said once. Lost bytes come before failed writes.
  absl::Status TakeError();
  // The last thing that went wrong, for the messages of those whom it hit; OK when nothing ever did.
  absl::Status last_error();
  // Once for each time that writes begin to fail, or touches begin to wait for frames that can't be freed.
  absl::Status TakeTrouble();
  ResidencyStats Stats();
  // Bookkeeping: the touched part of the granule table, and the lists of frames. A few system calls.
  Bytes MetadataBytes() const { return table_.MemoryBytes() + frames_->MetadataBytes(); }
  int64_t exposed_nanos() const { return exposed_nanos_.load(std::memory_order_relaxed); }
  // The fast budget from now on. Frames over it leave as the mover makes room.
  void SetFrameLimit(int64_t frames);
  // What the system keeps of the slow tier in memory: it counts as fast, so as many frames fewer may be used, but for
  // pinned ones and the fewest that a touch may need.
  void CountCachedLocked(Bytes cached) { frames_->SetOutside(cached, pinned_ + kFewestFrames); }

 private:
  Residency(const ResidencyOptions& options, os::Memory& memory, tier::BlockTier& tier, const Clock& clock, char* base,
            GranuleTable table, std::unique_ptr<FramePool> frames);

  bool BackLocked(GranuleId id);
  absl::Status ReadError(int64_t count) const;
  absl::Status WriteError(int64_t count) const;
  absl::Status RefusalError() const;
  absl::Status ErrorOf(GranuleId id);  // why its wait ended
  bool MayPinLocked(Range range) const;
  bool FrameInDoubt(GranuleId id) const;
  void TakeBackLocked(Granule& granule);
  bool MayBackWithoutSlotLocked() const;
  void VacateAllDeadLocked();
  void VacateLocked(GranuleId id);
  bool MapLocked(GranuleId id, os::Protection protection);
  bool MapOrRefuseLocked(GranuleId id, os::Protection protection);
  bool UnmapLocked(GranuleId id);
  int DetachLocked(GranuleId id);
  void StayLocked(GranuleId id);
  bool IsHeldLocked(const Granule& granule) const;
  void StrandLocked(GranuleId id);
  void NoteStrandedLocked(GranuleId id);
  SlotId NewSlotLocked();
  void QuarantineLocked(SlotId slot);
  void FreeSlotLocked(Granule& granule);
  bool TakeFrameLocked(Granule& granule);
  void GiveFrameLocked(Granule& granule);
  void OpenForWritingLocked(GranuleId id);
  AccessGate& GateOf(const Granule& granule);
  bool HoldFrameLocked();
  bool MakePrivateLocked(GranuleId id);
  bool ConvertMappedLocked(GranuleId id, bool shared, os::Protection protection);
  enum class Extra : uint8_t { kNone, kAllowed };  // fast memory for the copies, where no frame can be had for them
  void UnshareAllLocked(Extra extra);
  void OpenNeighboursLocked(GranuleId id);
  void OpenArmedLocked(GranuleId id, char* address, os::FaultAccess access);
  void NoticeLocked(GranuleId id);
  void FailLocked(GranuleId id, int error);
  void NoteFailedWriteLocked(int error);
  void LruInsertLocked(GranuleId id);
  void LruRemoveLocked(GranuleId id);
  void DemandLocked(GranuleId id);
  std::optional<tier::Transfer> FinishFetchLocked(GranuleId id, int error);
  std::optional<tier::Transfer> FinishWriteLocked(GranuleId id, int error);
  std::atomic<uint32_t>& NoticeWord(GranuleId id) { return notices_[id.value() % notices_.size()]; }
  enum class Step : uint8_t { kDone, kWait, kPause, kNotOurs, kLost };
  // `waited`: the caller has slept since it asked, so that a refusal is the answer to it, not to someone before.
  Step FaultStepLocked(GranuleId id, char* address, os::FaultAccess access, bool waited);
  Step BringInLocked(GranuleId id, bool waited);
  Step ChildBringInLocked(GranuleId id);
  // Repeats `attempt(waited)` (under the lock) until it is done, sleeping in between; counts the time as exposed.
  // `interrupted`: in a fault's handler.
  template <typename Attempt>
  Step Until(GranuleId id, Attempt attempt, const os::InterruptedCode* interrupted = nullptr);
  bool SlotForWritingLocked(Granule& granule);
  bool InForkedCopy() const { return *fork_canary_ == 0; }

  const ResidencyOptions options_;
  const int granule_shift_;
  os::Memory& memory_;
  tier::BlockTier& tier_;
  const Clock& clock_;
  char* const base_;
  GranuleTable table_;
  std::unique_ptr<FramePool> frames_;
  DemandSink* sink_ = nullptr;

  os::FutexLock lock_;
  std::array<std::atomic<uint32_t>, 64> notices_{};
  std::atomic<bool> planned_{false};
  std::atomic<uint32_t> planned_begin_{0}, planned_end_{0};
  AccessRecorder* recorder_ = nullptr;
  ProtectionGate protection_gate_;
  AccessGate* gate_ = nullptr;
  bool sharing_ = false;  // the gate watches shared frames in this profiled step
  ProfilingStats profiling_stats_;
  uint32_t opened_head_ = kNone.value();
  uint32_t demand_head_ = kNone.value(), demand_tail_ = kNone.value();
  uint32_t lru_head_ = kNone.value(), lru_tail_ = kNone.value();
  int64_t backed_ = 0;
  int64_t slots_ = 0;
  int64_t slotless_ = 0;  // backed without a slot: never more than there are frames
  int64_t leaving_ = 0;
  int64_t faults_ = 0;
  int64_t io_errors_ = 0;
  int64_t pinned_ = 0;
  int64_t held_ = 0;
  int64_t held_until_nanos_ = 0;  // granules found held are not tried again before
  int64_t kernel_faults_ = 0;
  int64_t read_errors_ = 0, read_errors_said_ = 0;
  int64_t write_errors_ = 0, write_errors_said_ = 0;
  int64_t refusals_ = 0, refusals_said_ = 0;
  bool write_trouble_ = false, write_trouble_said_ = false;
  bool room_trouble_ = false, room_trouble_said_ = false;
  std::vector<GranuleId> stranded_;  // with room for as many as there may be frames
  std::atomic<int64_t> exposed_nanos_{0};
  std::atomic<int> read_error_{0};
  std::atomic<int> write_error_{0};
  std::atomic<int> map_error_{0};
  std::atomic<int> refusal_error_{0};
  std::atomic<uint32_t> failed_granule_{0};
  std::atomic<bool> writes_failing_{false};
  int64_t failed_writes_in_row_ = 0;
  bool forked_child_ = false;
  std::vector<SlotId> quarantine_;  // slots given up while frozen
  bool frozen_ = false;
  volatile char* fork_canary_ = nullptr;  // reads as 0 in a forked copy of the process
  std::optional<os::SignalBlock> fork_block_;
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_RESIDENCY_H_

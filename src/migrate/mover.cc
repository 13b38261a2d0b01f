#include "src/migrate/mover.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <utility>

#include "src/base/reserve.h"

namespace thermocline::migrate {

using arena::Residency;

Mover::Mover(Residency& residency, tier::BlockTier& tier, const Clock& clock, const MoverOptions& options)
    : residency_(residency), tier_(tier), clock_(clock), options_(options), policy_(MakeLruPolicy()) {
  outgoing_.reserve(residency.frames().limit());
  completions_.reserve(tier.max_in_flight());
  fetching_.reserve(tier.max_in_flight());
  residency_.SetDemandSink(this);
}

Mover::~Mover() {
  Stop();
  residency_.SetDemandSink(nullptr);
}

void Mover::Start() {
  // Signals meant for the program must not land here, and the residency lock wants them blocked.
  os::SignalBlock block;
  thread_ = std::thread([this] { Loop(); });
}

void Mover::Stop() {
  if (!thread_.joinable()) return;
  stop_.store(true);
  tier_.Wake();
  thread_.join();
  stop_.store(false);
}

void Mover::Loop() {
  while (true) {
    RunOnce(retry_soon_ ? options_.failure_pause_nanos : -1);
    if (InFlight() != 0) continue;
    if (stop_.load()) return;
    if (!pause_.load()) continue;
    paused_.store(1);
    os::FutexWakeAll(paused_);
    while (pause_.load()) os::FutexWait(paused_, 1);
    paused_.store(0);
  }
}

void Mover::Pause() {
  if (!thread_.joinable()) return;
  pause_.store(true);
  tier_.Wake();
  while (paused_.load() == 0) os::FutexWait(paused_, 0);
}

void Mover::Resume() {
  if (!thread_.joinable()) return;
  pause_.store(false);
  paused_.store(2);
  os::FutexWakeAll(paused_);
  tier_.Wake();
}

void Mover::AbandonAfterFork() {
  // The thread does not exist here: its handle must not be joined or destroyed as joinable.
  if (thread_.joinable()) thread_.detach();
}

void Mover::SetPlan(std::shared_ptr<const plan::MigrationPlan> plan, int64_t position) {
  {
    Residency::Lock lock(residency_);
    next_plan_ = std::move(plan);
    plan_changed_ = true;
    plan_position_ = position;
    position_.store(position, std::memory_order_release);
  }
  tier_.Wake();
}

void Mover::EnterLayer(int64_t position) {
  position_.store(position, std::memory_order_release);
  tier_.Wake();
}

// An exception here would end the process.
void Mover::RunOnce(int64_t timeout_nanos) {
  no_memory_ = false;
  bool trouble = false;
  try {
    trouble = Turn(timeout_nanos);
  } catch (const std::bad_alloc&) {
    NoteNoMemory();
    os::FutexWait(never_, 0, options_.failure_pause_nanos);
  }
  try {
    SubmitAll();  // also what was begun before memory ran out
    if (trouble) SayTrouble();
  } catch (const std::bad_alloc&) {
    NoteNoMemory();
  }
  SayNoMemory();
}

void Mover::SayTrouble() {
  if (options_.on_trouble == nullptr) return;
  if (const absl::Status status = residency_.TakeTrouble(); !status.ok()) options_.on_trouble(status);
}

void Mover::SayNoMemory() {
  no_memory_to_say_ |= no_memory_ && !no_memory_before_;
  no_memory_before_ = no_memory_;
  if (!no_memory_to_say_ || options_.on_trouble == nullptr) return;
  try {
    options_.on_trouble(absl::ResourceExhaustedError(
        "no memory was left for the bookkeeping of transfers: plans wait until there is some. Leave the process more "
        "beside its fast budget, or lower that"));
    no_memory_to_say_ = false;
  } catch (const std::bad_alloc&) {
    // Saying it takes some too: in a later turn.
  }
}

// True when there is trouble to be told.
bool Mover::Turn(int64_t timeout_nanos) {
  // Those of a turn that found no memory are still to be taken note of.
  tier_.Reap(&completions_, completions_.empty() ? timeout_nanos : 0);
  const std::optional<Bytes> cached = CachedIfDue();
  Residency::Lock lock(residency_);
  if (cached.has_value()) residency_.CountCachedLocked(*cached);
  TurnLocked();
  return residency_.HasTroubleLocked();
}

std::optional<Bytes> Mover::CachedIfDue() {
  uncounted_ += std::ssize(completions_);
  const bool none_left = in_flight_ == std::ssize(completions_);
  if (uncounted_ == 0 || (uncounted_ < options_.count_cached_after && !none_left)) return std::nullopt;
  try {
    const tier::BlockTierStats stats = tier_.Stats();
    uncounted_ = 0;
    return stats.cached + stats.cached_in_flight;
  } catch (const std::bad_alloc&) {
    NoteNoMemory();
    return std::nullopt;
  }
}

// While all writes fail, one of them in each pause.
bool Mover::MayWriteLocked() {
  if (!WritesFail()) return true;
  const int64_t now = clock_.NowNanos();
  if (now < next_try_nanos_) return false;
  next_try_nanos_ = now + options_.failure_pause_nanos;
  return true;
}

void Mover::EvictLocked(GranuleId id, int64_t issued_nanos) {
  if (!residency_.MayLeaveLocked(id)) return;
  const bool writes = !residency_.GranuleLocked(id).clean && !residency_.IsDeadLocked(id);
  if (!writes || MayWriteLocked()) Push(residency_.BeginEvictLocked(id), false, issued_nanos);
}

// From here to the turn's end what begins and what ends finds room. Each transfer has a frame of its own.
void Mover::ReserveLocked() {
  ReserveFor(outgoing_, std::max(residency_.frames().limit(), residency_.frames().in_use()));
  ReserveFor(fetching_, fetching_.size() + std::max(0, tier_.max_in_flight() - InFlight()));
  if (!recording_.load(std::memory_order_relaxed)) return;
  try {
    ReserveFor(open_records_, outgoing_.capacity());
    ReserveFor(records_, records_.size() + completions_.size());
  } catch (const std::bad_alloc&) {
    recording_.store(false);  // a report that lacks moves, rather than moves that wait
  }
}

void Mover::TurnLocked() {
  ReserveLocked();
  FinishAllLocked();
  if (pause_.load() || stop_.load()) return;  // only what is in flight still ends
  try {
    TakeNewLayersLocked();
  } catch (const std::bad_alloc&) {
    NoteNoMemory();
  }
  ServeDemandsLocked();
  ServeArrivalsLocked(/*most=*/taken_);
  WriteOutLocked();
  // What was to make room has begun nothing, and no completion will wake the mover for those who wait.
  if (InFlight() == 0 && residency_.HasDemandLocked()) ServeDemandsLocked();
  ServeArrivalsLocked(/*most=*/std::numeric_limits<int64_t>::max());
  if (residency_.HasStrandedLocked() && MayWriteLocked()) Push(residency_.RetryStrandedLocked(), false);
  retry_soon_ = no_memory_ || residency_.HasStrandedLocked();
  const int64_t over = residency_.frames().in_use() - residency_.frames().limit() - FramesComing();
  if (over > 0) MakeRoomLocked(over);
}

// Before in_flight_ changes.
void Mover::CountQueued() {
  const int64_t now = clock_.NowNanos();
  if (in_flight_ >= options_.queued_depth) queued_nanos_ += now - counted_nanos_;
  counted_nanos_ = now;
}

// What the transfer has moved while others queued, by that share of its time. A disk ends what it was given together
// all at once: were each counted whole from the one before it on, all but the first would have taken no time.
Bytes Mover::EndFlight(GranuleId id) {
  const auto found =
      std::find_if(flights_.begin(), flights_.end(), [id](const Flight& flight) { return flight.granule == id; });
  if (found == flights_.end()) return Bytes(0);
  const double lived = static_cast<double>(std::max<int64_t>(counted_nanos_ - found->began_nanos, 1));
  const double share = static_cast<double>(queued_nanos_ - found->queued_nanos) / lived;
  flights_.erase(found);
  return Bytes(std::llround(static_cast<double>(residency_.granule_bytes().count()) * std::min(share, 1.0)));
}

void Mover::FinishAllLocked() {
  CountQueued();
  stats_.queued_nanos = queued_nanos_;
  for (const tier::Completion& completion : completions_) {
    --in_flight_;
    RecordEnd(completion);
    const std::optional<tier::Transfer> again = residency_.FinishLocked(completion);
    const GranuleId id(static_cast<uint32_t>(completion.tag));
    if (!again.has_value()) {
      std::erase_if(fetching_, [id](const Fetching& fetch) { return fetch.granule == id; });
    }
    Push(again, false);
  }
  completions_.clear();
}

// ---------------------------------------------------------------------------------------------------------------------
// Transfers.

// What the tier takes at once falls while other processes use its device.
bool Mover::LinkIsBusy() const {
  return InFlight() >= std::min(options_.Depth(residency_.granule_bytes()), tier_.max_in_flight());
}

// Part of the queue is kept for what is touched.
int Mover::ReadAheadDepth() const {
  return std::min(options_.read_ahead_depth, std::max(1, tier_.max_in_flight() / 2));
}

void Mover::Push(std::optional<tier::Transfer> transfer, bool demanded, int64_t issued_nanos) {
  if (!transfer.has_value()) return;
  RecordStart(*transfer, demanded, issued_nanos);
  outgoing_.push_back(*transfer);
}

void Mover::SubmitAll() {
  // Outside the lock: starting a transfer pins its pages, which takes a while.
  while (!outgoing_.empty()) {
    ReserveFor(completions_, in_flight_ + outgoing_.size());
    ReserveFor(flights_, flights_.size() + outgoing_.size());
    CountQueued();
    const int taken = tier_.Submit(outgoing_);
    for (int i = 0; i < taken; ++i) {
      flights_.push_back({GranuleId(static_cast<uint32_t>(outgoing_[i].tag)), counted_nanos_, queued_nanos_});
    }
    in_flight_ += taken;
    outgoing_.erase(outgoing_.begin(), outgoing_.begin() + taken);
    if (outgoing_.empty()) return;
    // More than the tier takes at once: as places become free.
    tier_.Reap(&completions_, -1);
    Residency::Lock lock(residency_);
    ReserveLocked();
    FinishAllLocked();
  }
}

void Mover::StartRecording() {
  Residency::Lock lock(residency_);
  records_.clear();
  open_records_.clear();
  asked_nanos_.clear();
  recording_.store(true);
}

std::vector<MoveRecord> Mover::TakeRecords() {
  Residency::Lock lock(residency_);
  recording_.store(false);
  open_records_.clear();
  return std::exchange(records_, {});
}

void Mover::RecordStart(const tier::Transfer& transfer, bool demanded, int64_t issued_nanos) {
  if (!recording_.load(std::memory_order_relaxed)) return;
  const GranuleId id(static_cast<uint32_t>(transfer.tag));
  const int64_t now = clock_.NowNanos();
  open_records_.push_back(
      {id, transfer.direction, demanded, taken_, issued_nanos == 0 ? now : issued_nanos, now, 0, 0});
}

void Mover::RecordEnd(const tier::Completion& completion) {
  const GranuleId id(static_cast<uint32_t>(completion.tag));
  const Bytes queued = EndFlight(id);
  if (completion.error == 0) {
    const bool in = residency_.GranuleLocked(id).presence.load() == arena::Presence::kFetching;
    (in ? stats_.bytes_in : stats_.bytes_out) += residency_.granule_bytes();
    (in ? stats_.queued_in : stats_.queued_out) += queued;
  }
  if (!recording_.load(std::memory_order_relaxed)) return;
  const auto found = std::find_if(open_records_.begin(), open_records_.end(),
                                  [id](const MoveRecord& record) { return record.granule == id; });
  if (found == open_records_.end()) return;
  found->ended_nanos = clock_.NowNanos();
  found->error = completion.error;
  records_.push_back(*found);
  open_records_.erase(found);
}

MoverStats Mover::Stats() const {
  Residency::Lock lock(const_cast<Residency&>(residency_));
  return stats_;
}

}  // namespace thermocline::migrate

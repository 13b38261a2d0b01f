#include "src/migrate/mover.h"

#include <algorithm>
#include <cerrno>
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
  flights_.reserve(tier.max_in_flight());
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
// The plan.

void Mover::TakeNewLayersLocked() {
  if (plan_changed_) AdoptPlanLocked();
  const int64_t position = position_.load(std::memory_order_acquire);
  if (plan_ == nullptr || plan_->layers.empty()) {
    taken_ = position;
    return;
  }
  while (taken_ < position) {
    TakeActionsLocked(taken_ + 1);
    ++taken_;
  }
}

// What takes memory comes first: without it nothing is adopted yet.
void Mover::AdoptPlanLocked() {
  residency_.ReclaimDeadLocked(residency_.frames().limit());
  const plan::MigrationPlan* const plan = next_plan_.get();
  std::unique_ptr<VictimPolicy> policy = plan == nullptr ? MakeLruPolicy() : MakePlanPolicy(*plan);
  std::vector<Arrival> arrivals;
  std::vector<GranuleId> leaving;
  if (plan != nullptr && !plan->layers.empty() && plan_position_ % std::ssize(plan->layers) == 0) {
    std::vector<GranuleId> wanted = plan->resident_at_start;
    std::sort(wanted.begin(), wanted.end());
    // What lies behind the layout is none of the plan's business: small objects.
    const GranuleId end(static_cast<uint32_t>(plan->layout_end / plan->granule_bytes.count()));
    for (GranuleId id = residency_.OldestLocked(); id != Residency::kNone; id = residency_.NewerLocked(id)) {
      if (id < end && !std::binary_search(wanted.begin(), wanted.end(), id)) leaving.push_back(id);
    }
    const int64_t now = clock_.NowNanos();
    for (GranuleId id : plan->resident_at_start) arrivals.push_back({plan_position_, id, false, false, now});
  }
  plan_changed_ = false;
  plan_ = std::exchange(next_plan_, nullptr);
  policy_ = std::move(policy);
  arrivals_ = std::move(arrivals);
  evictions_.clear();
  write_backs_.clear();
  taken_ = plan_position_ - 1;
  for (GranuleId id : leaving) EvictLocked(id);
}

// Where there is no memory for the half of it, all of it is done again later. That does no harm: what is to be done
// twice has then been done.
void Mover::TakeActionsLocked(int64_t position) {
  const int64_t layer_count = std::ssize(plan_->layers);
  const int64_t layer = position % layer_count;
  const plan::LayerActions& actions = plan_->layers[layer];
  const int64_t now = clock_.NowNanos();
  ReserveFor(arrivals_, arrivals_.size() + actions.provide.size() + actions.fetch.size());
  for (GranuleId id : actions.release) ReleaseLocked(id, now);
  for (GranuleId id : actions.write_back) write_backs_.push_back({id, now});
  for (GranuleId id : actions.provide) KeepLocked(id);
  for (const plan::Fetch& fetch : actions.fetch) KeepLocked(fetch.granule);
  const size_t sorted = arrivals_.size();
  for (GranuleId id : actions.provide) arrivals_.push_back({position, id, true, true, now});
  for (const plan::Fetch& fetch : actions.fetch) {
    const int64_t ahead = (int64_t{fetch.deadline.value()} - layer + layer_count) % layer_count;
    arrivals_.push_back({position + ahead, fetch.granule, false, fetch.for_writing, now});
  }
  std::stable_sort(arrivals_.begin() + sorted, arrivals_.end());
  std::inplace_merge(arrivals_.begin(), arrivals_.begin() + sorted, arrivals_.end());
}

void Mover::ReleaseLocked(GranuleId id, int64_t now) {
  if (residency_.ReleaseLocked(id, /*when_clean=*/true)) return;
  if (!residency_.MayLeaveLocked(id)) {
    ++stats_.skipped_actions;
    return;
  }
  const auto is_it = [id](const WriteOut& queued) { return queued.granule == id; };
  if (std::none_of(evictions_.begin(), evictions_.end(), is_it)) evictions_.push_back({id, now});
}

// Wanted again before its eviction began, or leaving by another way.
void Mover::KeepLocked(GranuleId id) {
  const auto is_it = [id](const WriteOut& queued) { return queued.granule == id; };
  if (std::erase_if(evictions_, is_it) > 0) std::erase_if(write_backs_, is_it);
}

void Mover::WriteOutLocked() {
  const int64_t frames_due = FramesDueLocked();
  while (!evictions_.empty() || !write_backs_.empty()) {
    const bool evict = !evictions_.empty();
    if (LinkIsBusy() || !MayWriteOutLocked(evict, frames_due)) return;
    std::deque<WriteOut>& queue = evict ? evictions_ : write_backs_;
    const WriteOut next = queue.front();
    queue.pop_front();
    evict ? EvictLocked(next.granule, next.issued_nanos) : BeginWriteBackLocked(next);
  }
}

// Frames that what is due still lacks.
int64_t Mover::FramesDueLocked() const {
  int64_t wanted = residency_.HasDemandLocked() ? 1 : 0;
  for (const Arrival& arrival : arrivals_) {
    if (arrival.deadline > taken_) break;
    if (arrival.provide || residency_.NeedsFrameLocked(arrival.granule)) ++wanted;
  }
  return std::max<int64_t>(wanted - residency_.frames().available(), 0);
}

// What is due goes first: the evictions that it needs, then itself, then all else.
bool Mover::MayWriteOutLocked(bool evict, int64_t frames_due) const {
  const int64_t leaving = residency_.frames_leaving();
  if (evict && frames_due > leaving) return true;
  return !IsDueUnderWay() && (frames_due == 0 || leaving == 0);
}

bool Mover::IsDueUnderWay() const {
  return std::any_of(fetching_.begin(), fetching_.end(),
                     [this](const Fetching& fetch) { return fetch.deadline <= taken_; });
}

void Mover::BeginWriteBackLocked(const WriteOut& queued) {
  if (!residency_.IsMapped(queued.granule)) return;  // it was released before its turn came
  std::optional<tier::Transfer> transfer;
  if (MayWriteLocked()) transfer = residency_.BeginWriteBackLocked(queued.granule);
  if (!transfer.has_value()) ++stats_.skipped_actions;
  Push(transfer, false, queued.issued_nanos);
}

// Those with deadlines of at most `most`.
void Mover::ServeArrivalsLocked(int64_t most) {
  size_t kept = 0;
  bool blocked = false;
  for (size_t i = 0; i < arrivals_.size(); ++i) {
    Arrival& arrival = arrivals_[i];
    blocked |= arrival.deadline > most;
    if (blocked || !Serve(arrival)) {
      // In order of deadlines: a later one must not take the frame that an earlier one waits for.
      blocked = true;
      arrivals_[kept++] = arrival;
    }
  }
  arrivals_.resize(kept);
}

// False when it has to wait.
bool Mover::Serve(Arrival& arrival) {
  const GranuleId id = arrival.granule;
  const arena::Granule& granule = residency_.GranuleLocked(id);
  switch (granule.presence.load()) {
    case arena::Presence::kMapped:
    case arena::Presence::kFetching:
    case arena::Presence::kFailed:
      // Leaving as soon as it is clean, and wanted again: that is a fetch to come.
      if (granule.leaving) return false;
      return true;
    case arena::Presence::kEvicting:
      return false;
    case arena::Presence::kHole:
      break;
  }
  if (arrival.provide) {
    if (residency_.frames().available() == 0) return false;
    if (!residency_.ProvideLocked(id) && !granule.fresh && residency_.NeedsFrameLocked(id)) {
      arrival.provide = false;  // it has content after all: fetch it
      return Serve(arrival);
    }
    return true;
  }
  if (!residency_.NeedsFrameLocked(id)) {
    ++stats_.skipped_actions;
    return true;
  }
  if (residency_.frames().available() == 0) return false;
  if (granule.fresh) return residency_.ProvideLocked(id);
  const bool due = arrival.deadline <= taken_;
  if (LinkIsBusy() || (!due && IsDueUnderWay())) return false;
  ++stats_.planned_fetches;
  const std::optional<tier::Transfer> fetch = residency_.BeginFetchLocked(id, arrival.for_writing);
  if (fetch.has_value()) fetching_.push_back({id, arrival.deadline});
  Push(fetch, false, arrival.issued_nanos);
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Demand.

void Mover::ServeDemandsLocked() {
  // Those that have to wait are put back at the end, in their order.
  int64_t waiting = 0;
  GranuleId first_waiting = Residency::kNone;
  while (first_waiting == Residency::kNone || residency_.FirstDemandLocked() != first_waiting) {
    const GranuleId id = residency_.PopDemandLocked();
    if (id == Residency::kNone) break;
    if (!residency_.NeedsFrameLocked(id)) continue;
    residency_.ReclaimDeadLocked(1);
    if (residency_.frames().available() > 0 && InFlight() < tier_.max_in_flight()) {
      FetchByDemandLocked(id);
      continue;
    }
    residency_.PushDemandLocked(id);
    if (waiting++ == 0) first_waiting = id;
    NoteAskedLocked(id);
  }
  const int64_t reserve = plan_ == nullptr ? std::min(options_.reserve, residency_.frames().limit() / 16) : 0;
  // Negative while the budget is exceeded, as it was lowered: what leaves then makes no room yet.
  const int64_t coming = residency_.frames().limit() - residency_.frames().in_use() + FramesComing();
  const int64_t shortage = waiting + (plan_ == nullptr && in_flight_ > 0 ? reserve : 0) - coming;
  if (shortage > 0) MakeRoomLocked(shortage);
  // Making room may have freed frames at once: clean ones, dead ones.
  const bool stuck = residency_.frames().available() == 0 && FramesComing() == 0 && (WritesFail() || InFlight() == 0);
  for (; waiting > 0; --waiting) {
    const GranuleId id = residency_.PopDemandLocked();
    if (stuck) {
      residency_.RefuseLocked(id, ENOMEM, /*no_room=*/true);
    } else if (residency_.frames().available() > 0 && InFlight() < tier_.max_in_flight()) {
      FetchByDemandLocked(id);
    } else {
      residency_.PushDemandLocked(id);
    }
  }
}

void Mover::NoteAskedLocked(GranuleId id) {
  if (!recording_.load(std::memory_order_relaxed)) return;
  try {
    asked_nanos_.try_emplace(id, clock_.NowNanos());
  } catch (const std::bad_alloc&) {
    // It is recorded as asked for when it is served.
  }
}

void Mover::FetchByDemandLocked(GranuleId id) {
  if (residency_.GranuleLocked(id).fresh) {
    residency_.ProvideLocked(id);
  } else {
    ++stats_.demand_fetches;
    const auto asked = asked_nanos_.find(id);
    const std::optional<tier::Transfer> fetch = residency_.BeginFetchLocked(id, false);
    if (fetch.has_value()) fetching_.push_back({id, taken_});
    Push(fetch, true, asked == asked_nanos_.end() ? 0 : asked->second);
  }
  asked_nanos_.erase(id);
  if (residency_.NeedsFrameLocked(id)) {
    residency_.RefuseLocked(id, ENOMEM);  // no memory or mapping for a frame: whoever waits must hear of it
  } else if (plan_ == nullptr && !residency_.IsMapped(id)) {
    ReadAheadLocked(id);
  }
}

void Mover::ReadAheadLocked(GranuleId id) {
  for (int i = 1; i <= options_.read_ahead; ++i) {
    const GranuleId next(id.value() + i);
    if (residency_.frames().available() <= options_.reserve / 2 || InFlight() >= ReadAheadDepth()) return;
    if (int64_t{next.value()} >= residency_.size() / residency_.granule_bytes()) return;
    if (!residency_.NeedsFrameLocked(next) || residency_.GranuleLocked(next).fresh) return;
    Push(residency_.BeginFetchLocked(next, false), true);
  }
}

void Mover::MakeRoomLocked(int64_t wanted) {
  const auto missing = [&, enough = FramesComing() - residency_.frames().in_use() + wanted] {
    return enough - (FramesComing() - residency_.frames().in_use());
  };
  // Those that are chosen first may have no way out: no slot, while the slow tier is full. Others have one.
  for (const int64_t candidates : {wanted, residency_.frames().in_use()}) {
    if (missing() <= 0) return;
    std::vector<GranuleId> chosen;
    try {
      chosen = policy_->Choose(residency_, candidates, taken_);
    } catch (const std::bad_alloc&) {
      NoteNoMemory();
    }
    for (GranuleId id : chosen) {
      if (missing() <= 0 || InFlight() >= tier_.max_in_flight()) return;
      KeepLocked(id);
      EvictLocked(id);
    }
  }
  if (!no_memory_) return;
  // Without memory to choose in: the least recently used.
  for (GranuleId id = residency_.OldestLocked(), next; id != Residency::kNone; id = next) {
    if (missing() <= 0 || InFlight() >= tier_.max_in_flight()) return;
    next = residency_.NewerLocked(id);
    KeepLocked(id);
    EvictLocked(id);
  }
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

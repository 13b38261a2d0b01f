// Mover's second part: what the plan asks for, and when it may begin.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "src/base/reserve.h"
#include "src/migrate/mover.h"

namespace thermocline::migrate {

using arena::Residency;

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

}  // namespace thermocline::migrate

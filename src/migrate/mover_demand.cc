// Mover's third part: what is touched and not there, and the room for it.
#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <vector>

#include "src/migrate/mover.h"

namespace thermocline::migrate {

using arena::Residency;

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

}  // namespace thermocline::migrate

#include "src/plan/replay.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/plan/granule_timeline.h"
#include "src/plan/plan_parts.h"

namespace thermocline::plan {
namespace {

// The first steps bring the state to the steady one; the last is measured.
constexpr int kSteps = 3;

enum class State : uint8_t { kAway, kQueued, kFetching, kResident };
enum class WriteState : uint8_t { kNone, kQueued, kActive };
enum class Hold : uint8_t { kAsPlanned, kFast, kSlow };

struct Granule {
  State state = State::kAway;
  WriteState write = WriteState::kNone;
  Hold hold = Hold::kAsPlanned;
  bool dirty = false;      // the slow copy is not what the frame holds
  bool rewritten = false;  // touched since its write-back was queued
  bool release_pending = false;
  bool always_live = false;
  int64_t live_until = -1;  // the last position in which it holds live content
  int64_t last_use = std::numeric_limits<int64_t>::min();
  int64_t wanted_at = -1;  // the position that needs it, or uses it, last seen
  int64_t deadline = 0;
};

// The link: one transfer at a time, or one each way.
struct Channel {
  bool busy = false;
  bool is_write = false;
  int32_t granule = 0;
  double end = 0;
};

struct Touch {
  int32_t granule;
  bool write;
  int32_t live_for;
};

class Engine {
 public:
  Engine(const Machine& machine, const MigrationPlan& plan, const GranuleTimeline& timeline, const Held& held)
      : tier_(machine.slow.front()), plan_(plan), layers_(timeline.layers) {
    frames_ = std::max<int64_t>(plan.budget / plan.granule_bytes, 1);
    free_ = frames_;
    in_seconds_ = SecondsFor(plan.granule_bytes, tier_.in);
    out_seconds_ = SecondsFor(plan.granule_bytes, tier_.out);
    granules_.resize(timeline.granules.size());
    touches_.resize(layers_);
    for (size_t g = 0; g < timeline.granules.size(); ++g) AddLife(static_cast<int32_t>(g), timeline.granules[g]);
    for (const GranuleId id : held.fast) {
      if (const int32_t g = Find(id); g >= 0) {
        granules_[g].hold = Hold::kFast;
        StartResident(g);
      }
    }
    for (const GranuleId id : held.slow) {
      if (const int32_t g = Find(id); g >= 0) {
        granules_[g].hold = Hold::kSlow;
        slow_.push_back(g);
      }
    }
    for (const GranuleId id : plan.resident_at_start) {
      if (const int32_t g = Planned(id); g >= 0) StartResident(g);
    }
    result_.exposed_per_layer.resize(layers_);
  }

  ReplayResult Run(const std::vector<profile::Layer>& layers) {
    for (int step = 0; step < kSteps; ++step) {
      if (step == kSteps - 1) StartMeasuring();
      const double begin = now_;
      for (int32_t l = 0; l < layers_; ++l) {
        const double before = now_;
        StartLayer(l);
        result_.exposed_per_layer[l] = now_ - before;
        result_.exposed_seconds += now_ - before;
        AdvanceTo(now_ + layers[l].seconds);
        ++position_;
      }
      result_.seconds = now_ - begin;
    }
    return result_;
  }

 private:
  void AddLife(int32_t g, const GranuleLife& life) {
    index_[life.granule] = g;
    ids_.push_back(life.granule);
    granules_[g].always_live = life.always_live;
    for (const GranuleUse& use : life.uses) {
      touches_[use.layer].push_back({g, use.write, use.live_for});
      granules_[g].live_until = use.layer - layers_ + use.live_for;
    }
  }

  void StartResident(int32_t g) {
    if (free_ == 0 || granules_[g].state != State::kAway) return;
    --free_;
    granules_[g].state = State::kResident;
    granules_[g].dirty = true;
  }

  void StartMeasuring() {
    ReplayResult fresh;
    fresh.exposed_per_layer.resize(layers_);
    result_ = std::move(fresh);
    result_.peak_frames = frames_ - free_;
  }

  int32_t Find(GranuleId id) const {
    const auto it = index_.find(id);
    return it == index_.end() ? -1 : it->second;
  }
  // -1 also for a granule that is held: what the plan says about it doesn't count.
  int32_t Planned(GranuleId id) const {
    const int32_t g = Find(id);
    return g < 0 || granules_[g].hold != Hold::kAsPlanned ? -1 : g;
  }
  bool Live(const Granule& g) const { return g.always_live || g.live_until >= position_; }

  void TakeFrame(Granule* g) {
    --free_;
    result_.peak_frames = std::max(result_.peak_frames, frames_ - free_);
    g->release_pending = false;
  }
  void FreeFrame(Granule* g) {
    ++free_;
    g->state = State::kAway;
    g->release_pending = false;
    g->dirty = false;
  }

  void QueueWrite(int32_t i, bool first) {
    Granule& g = granules_[i];
    if (g.write != WriteState::kNone) return;
    g.write = WriteState::kQueued;
    g.rewritten = false;
    first ? writes_.push_front(i) : writes_.push_back(i);
  }
  void QueueFetch(int32_t i, int64_t deadline) {
    granules_[i].state = State::kQueued;
    granules_[i].deadline = deadline;
    fetches_.insert({deadline, i});
  }

  // Gives a frame up, now or when its write-back is over.
  void Release(int32_t i, bool urgent) {
    Granule& g = granules_[i];
    if (g.state == State::kQueued) {
      fetches_.erase({g.deadline, i});
      g.state = State::kAway;
    }
    // One that is on its way in leaves when it has arrived.
    if (g.state == State::kFetching) g.release_pending = true;
    if (g.state != State::kResident) return;
    const bool dead = !Live(g) && g.write != WriteState::kActive;
    if (dead || (!g.dirty && g.write == WriteState::kNone)) {
      FreeFrame(&g);
    } else {
      g.release_pending = true;
      QueueWrite(i, urgent);
    }
  }

  void StartLayer(int32_t l) {
    for (const Touch& touch : touches_[l]) granules_[touch.granule].wanted_at = position_;
    for (const int32_t g : slow_) {
      if (granules_[g].wanted_at != position_) Release(g, false);
    }
    const LayerActions& actions = plan_.layers[l];
    for (const GranuleId id : actions.release) {
      if (const int32_t i = Planned(id); i >= 0) Release(i, false);
    }
    for (const GranuleId id : actions.write_back) {
      const int32_t i = Planned(id);
      if (i >= 0 && granules_[i].state == State::kResident && Live(granules_[i]) && granules_[i].dirty) {
        QueueWrite(i, false);
      }
    }
    for (const GranuleId id : actions.provide) {
      if (const int32_t i = Planned(id); i >= 0) Provide(i);
    }
    for (const Fetch& fetch : actions.fetch) StartFetch(l, fetch);
    if (plan_.waits) WaitForNeeds(actions);
    for (const Touch& touch : touches_[l]) Use(touch);
  }

  void WaitForNeeds(const LayerActions& actions) {
    for (const GranuleId id : actions.need) {
      if (const int32_t i = Planned(id); i >= 0) Need(i);
    }
    for (const GranuleId id : actions.need) {
      if (const int32_t i = Planned(id); i >= 0) WaitResident(i, &result_.forced_evictions);
    }
  }

  void Provide(int32_t i) {
    Granule& g = granules_[i];
    g.wanted_at = position_;
    if (g.state == State::kResident) {
      g.release_pending = false;
      return;
    }
    if (Live(g)) return;  // the plan is wrong about it: it holds content that only a fetch brings back
    if (free_ == 0) ++result_.frame_waits;
    WaitForFrame(i, &result_.forced_evictions);
    TakeFrame(&g);
    g.state = State::kResident;
  }

  void StartFetch(int32_t l, const Fetch& fetch) {
    const int32_t i = Planned(fetch.granule);
    if (i < 0) return;
    Granule& g = granules_[i];
    g.release_pending = false;
    if (g.state != State::kAway || !Live(g)) return;
    const int64_t ahead = (fetch.deadline.value() - l + layers_) % layers_;
    QueueFetch(i, position_ + ahead);
  }

  void Need(int32_t i) {
    Granule& g = granules_[i];
    g.wanted_at = position_;
    g.release_pending = false;
    if (g.state == State::kResident) return;
    if (g.state != State::kAway) {
      ++result_.late_fetches;
      Hurry(i);
    } else if (Live(g)) {
      ++result_.demand_fetches;
      QueueFetch(i, position_);
    } else {
      Provide(i);
    }
  }

  void Hurry(int32_t i) {
    Granule& g = granules_[i];
    if (g.state != State::kQueued || g.deadline <= position_) return;
    fetches_.erase({g.deadline, i});
    QueueFetch(i, position_);
  }

  void Use(const Touch& touch) {
    Granule& g = granules_[touch.granule];
    if (g.state != State::kResident) Demand(touch.granule);
    if (g.state == State::kResident) g.release_pending = false;
    g.last_use = position_;
    if (touch.write) {
      g.dirty = true;
      g.rewritten = true;
    }
    g.live_until = position_ + touch.live_for;
  }

  // What the plan has not brought: used in place where the tier allows it, fetched at once where not.
  void Demand(int32_t i) {
    Granule& g = granules_[i];
    if (tier_.byte_addressable && !plan_.waits && g.state == State::kQueued) Release(i, false);  // too late: not at all
    if (tier_.byte_addressable && g.state == State::kAway) {
      AdvanceTo(now_ + std::max(in_seconds_, out_seconds_));
      return;
    }
    if (g.state == State::kAway && !Live(g)) {
      int64_t ignored = 0;
      WaitForFrame(i, &ignored);
      TakeFrame(&g);
      g.state = State::kResident;
      return;
    }
    if (g.state == State::kAway) {
      ++result_.demand_fetches;
      QueueFetch(i, position_);
    } else {
      Hurry(i);
    }
    int64_t ignored = 0;
    WaitResident(i, &ignored);
  }

  // Waits until there is a free frame for granule `i`, which fetches may not take.
  void WaitForFrame(int32_t i, int64_t* forced) {
    reserved_ = true;
    while (free_ == 0) {
      if (!Step() && !EvictSomething(i, forced)) break;
    }
    reserved_ = false;
  }

  void WaitResident(int32_t i, int64_t* forced) {
    while (granules_[i].state != State::kResident) {
      Hurry(i);
      if (!Step() && !EvictSomething(i, forced)) break;
    }
  }

  // By demand: the least recently used granule goes, one that this layer doesn't use if there is one.
  bool EvictSomething(int32_t except, int64_t* forced) {
    int32_t victim = -1;
    const auto key = [this](const Granule& g) {
      return std::make_tuple(g.wanted_at == position_ && g.last_use == position_, g.wanted_at == position_, Live(g),
                             g.last_use);
    };
    for (int32_t i = 0; i < static_cast<int32_t>(granules_.size()); ++i) {
      const Granule& g = granules_[i];
      if (i == except || g.hold == Hold::kFast || g.state != State::kResident || g.release_pending) continue;
      if (victim < 0 || key(g) < key(granules_[victim])) victim = i;
    }
    if (victim < 0) return false;
    ++*forced;
    result_.evicted.push_back({ids_[victim], LayerId(static_cast<int32_t>(position_ % layers_))});
    Release(victim, true);
    return true;
  }

  // Starts what can start; true when something runs.
  bool StartTransfers() {
    const int channels = tier_.full_duplex ? 2 : 1;
    bool any = false;
    for (int c = 0; c < channels; ++c) {
      Channel& channel = channels_[c];
      if (!channel.busy) Choose(c, &channel);
      any |= channel.busy;
    }
    return any;
  }

  void Choose(int c, Channel* channel) {
    DropStaleWrites();
    const bool fetch = !fetches_.empty() && free_ > 0 && !reserved_ && (!tier_.full_duplex || c == 0);
    const bool write = !writes_.empty() && (!tier_.full_duplex || c == 1);
    const bool urgent = fetch && fetches_.begin()->first <= position_ + 1;
    if (fetch && (urgent || !write)) {
      const int32_t i = fetches_.begin()->second;
      fetches_.erase(fetches_.begin());
      TakeFrame(&granules_[i]);
      granules_[i].state = State::kFetching;
      *channel = {true, false, i, now_ + in_seconds_};
      result_.in += plan_.granule_bytes;
    } else if (write) {
      const int32_t i = writes_.front();
      writes_.pop_front();
      granules_[i].write = WriteState::kActive;
      granules_[i].rewritten = false;
      *channel = {true, true, i, now_ + out_seconds_};
      result_.out += plan_.granule_bytes;
    }
  }

  // A queued write-back of what has died, or is away, is not needed any more.
  void DropStaleWrites() {
    while (!writes_.empty()) {
      Granule& g = granules_[writes_.front()];
      if (g.state == State::kResident && Live(g)) return;
      g.write = WriteState::kNone;
      writes_.pop_front();
      if (g.state == State::kResident && g.release_pending) FreeFrame(&g);
    }
  }

  // Goes to the next completion; false when nothing runs or can start.
  bool Step() {
    const int64_t free_before = free_;
    if (!StartTransfers()) return free_ > free_before;
    double next = std::numeric_limits<double>::infinity();
    for (const Channel& channel : channels_) {
      if (channel.busy) next = std::min(next, channel.end);
    }
    now_ = std::max(now_, next);
    Complete();
    return true;
  }

  void Complete() {
    for (Channel& channel : channels_) {
      if (!channel.busy || channel.end > now_) continue;
      channel.busy = false;
      Granule& g = granules_[channel.granule];
      if (!channel.is_write) {
        g.state = State::kResident;
        g.dirty = false;
        if (g.release_pending) FreeFrame(&g);
        continue;
      }
      g.write = WriteState::kNone;
      if (!g.rewritten) g.dirty = false;
      if (!g.release_pending) continue;
      if (g.dirty && Live(g)) {
        QueueWrite(channel.granule, true);
      } else {
        FreeFrame(&g);
      }
    }
  }

  void AdvanceTo(double time) {
    while (StartTransfers()) {
      double next = std::numeric_limits<double>::infinity();
      for (const Channel& channel : channels_) {
        if (channel.busy) next = std::min(next, channel.end);
      }
      if (next > time) break;
      now_ = std::max(now_, next);
      Complete();
    }
    now_ = std::max(now_, time);
  }

  const TierSpec& tier_;
  const MigrationPlan& plan_;
  int32_t layers_;
  int64_t frames_ = 0;
  int64_t free_ = 0;
  double in_seconds_ = 0;
  double out_seconds_ = 0;
  double now_ = 0;
  int64_t position_ = 0;
  bool reserved_ = false;
  std::vector<Granule> granules_;
  std::vector<std::vector<Touch>> touches_;
  std::unordered_map<GranuleId, int32_t> index_;
  std::vector<GranuleId> ids_;
  std::vector<int32_t> slow_;  // held slow
  std::deque<int32_t> writes_;
  std::set<std::pair<int64_t, int32_t>> fetches_;
  Channel channels_[2];
  ReplayResult result_;
};

}  // namespace

absl::StatusOr<ReplayResult> Replay(const profile::Profile& profile, const Machine& machine,
                                    const MigrationPlan& plan) {
  return ReplayHolding(profile, machine, plan, {});
}

absl::StatusOr<ReplayResult> ReplayHolding(const profile::Profile& profile, const Machine& machine,
                                           const MigrationPlan& plan, const Held& held) {
  if (machine.slow.empty() || !(machine.slow[0].in.rate() > 0) || !(machine.slow[0].out.rate() > 0)) {
    return absl::InvalidArgumentError("replay: the machine has no slow tier with bandwidth in both directions");
  }
  if (plan.layers.size() != profile.layers.size() || plan.granule_bytes <= Bytes(0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("replay: the plan has ", plan.layers.size(), " layers, the profile ", profile.layers.size()));
  }
  const std::vector<int64_t> offsets = OffsetsOf(plan, profile);
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("replay: the plan doesn't place tensor ", profile.tensors[i].id.value()));
    }
  }
  const GranuleTimeline timeline = MakeTimeline(profile, offsets, plan.granule_bytes);
  return Engine(machine, plan, timeline, held).Run(profile.layers);
}

}  // namespace thermocline::plan

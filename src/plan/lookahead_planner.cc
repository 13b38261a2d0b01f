#include "src/plan/lookahead_planner.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "src/plan/eviction_prices.h"
#include "src/plan/gaps.h"
#include "src/plan/granule_timeline.h"
#include "src/plan/layout.h"
#include "src/plan/link_schedule.h"
#include "src/plan/plan_emitter.h"
#include "src/plan/plan_parts.h"
#include "src/plan/priced_choice.h"
#include "src/plan/replay.h"
#include "src/plan/residency.h"
#include "src/plan/slots.h"

namespace thermocline::plan {
namespace {

constexpr int kTimeRounds = 3;            // of replaying and planning again with the waits that the replay saw
constexpr size_t kManyLayouts = 1 << 20;  // tensors times layers, from which on only one layout is tried
constexpr double kNegligible = 1e-4;
constexpr int kRounds = 8;               // of choosing and scheduling until both agree
constexpr int64_t kFramesForSlack = 64;  // of a budget, for each frame that is left free

enum class Choice { kFarthestFirst, kByPrices };

// What is varied between the plans that are tried.
struct Variant {
  Choice choice;
  double clean_bonus;
  double guard;    // fetches end this many transfers before their deadline
  double stretch;  // transfers are taken to last this many times longer
};
// The third takes a link for granted that is twice as fast. What is then late costs less, where most of a step keeps
// the link busy anyway, than the frames that longer transfers would have held.
constexpr Variant kVariants[] = {{Choice::kFarthestFirst, 0.1, 2, 1.1}, {Choice::kFarthestFirst, 0.1, 6, 1.3},
                                 {Choice::kFarthestFirst, 0.1, 2, 0.5}, {Choice::kFarthestFirst, 0.0, 2, 1.0},
                                 {Choice::kFarthestFirst, 0.3, 4, 1.2}, {Choice::kFarthestFirst, 0.1, 12, 1.5}};
// Takes a hundred times as long, and is tried where the others leave the step waiting.
constexpr Variant kPricedVariant = {Choice::kByPrices, 0, 0, 1};
constexpr double kWorthPricing = 0.005;  // of a step spent waiting
constexpr double kSlotTransfers = 6;     // a slot has time for so many, at least

// One attempt at a plan for a given layout.
class Attempt {
 public:
  // `seconds`: how long each layer is taken to last.
  Attempt(const PlannerInput& input, const GranuleTimeline& timeline, const std::vector<double>& seconds,
          std::vector<int32_t> caps, Variant variant)
      : timeline_(timeline),
        caps_(std::move(caps)),
        seconds_(seconds),
        starts_(StartTimes(seconds)),
        gaps_(MakeGaps(timeline)),
        variant_(variant) {
    const TierSpec& tier = input.machine.slow.front();
    link_.in_seconds = SecondsFor(input.granule_bytes, tier.in);
    link_.out_seconds = SecondsFor(input.granule_bytes, tier.out);
    link_.latency_seconds = tier.latency_seconds;
    link_.full_duplex = tier.full_duplex;
    link_.guard_seconds = variant.guard * link_.in_seconds;
    link_.stretch = variant.stretch;
  }

  // Chooses and schedules. The gaps then hold the decisions.
  const std::vector<Gap>& Solve() {
    variant_.choice == Choice::kByPrices ? SolveByPrices() : SolveFarthestFirst();
    return gaps_;
  }

 private:
  void SolveByPrices() {
    DelayWrites(starts_, &gaps_);
    const Slots slots(seconds_, kSlotTransfers * link_.in_seconds);
    std::vector<Gap> in_slots = slots.InSlots(gaps_);
    const std::vector<int32_t> caps = slots.PerSlot(caps_);
    const StepResources step{caps, slots.seconds(), link_};
    ChooseByPrices(PriceEvictions(in_slots, step), step, &in_slots);
    const auto granules = static_cast<int32_t>(timeline_.granules.size());
    Residency(granules, caps, &in_slots, {}).ForceFit();
    for (Gap& gap : in_slots) {
      if (gap.write_at >= gap.free_from) gap.write_at = Gap::kAtOnce;  // its frame was taken earlier
    }
    slots.Decide(in_slots, &gaps_);
    Residency residency(granules, caps_, &gaps_, {});
    StartFetchesEarlier(&residency);
  }

  void SolveFarthestFirst() {
    DelayWrites(starts_, &gaps_);
    for (Gap& gap : gaps_) Estimate(&gap);
    const int32_t granules = static_cast<int32_t>(timeline_.granules.size());
    Residency residency(granules, caps_, &gaps_, {variant_.clean_bonus});
    for (int round = 0; round < kRounds; ++round) {
      const int64_t evicted = residency.EvictUntilFits();
      if (round == 0) residency.TakeBack();
      if (evicted == 0 && round > 0) break;
      ApplyLink();
      residency.Recount();
    }
    residency.TakeBack();
    ApplyLink();
    residency.Recount();
    residency.ForceFit();
    StartFetchesEarlier(&residency);
  }

  // The free stretch of a gap before anything is known about the link: its own transfers alone, with some queueing.
  void Estimate(Gap* gap) const {
    gap->free_from = gap->begin + 1;
    gap->free_to = gap->end - 1;
    if (gap->kind == GapKind::kDead) return;
    const int32_t layers = timeline_.layers;
    if (gap->last_write > gap->begin - layers) {
      SetFreeFrom(PositionStart(starts_, gap->WriteFrom()) + 2 * link_.out_seconds * link_.stretch, gap);
    }
    if (gap->kind == GapKind::kLive) {
      SetFreeTo(PositionStart(starts_, gap->end) - link_.guard_seconds - 2 * link_.in_seconds * link_.stretch, gap);
    }
  }

  // The frame is free from the first layer that starts at `seconds` or later.
  void SetFreeFrom(double seconds, Gap* gap) const {
    int32_t low = gap->begin + 1;
    int32_t high = gap->end;
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      PositionStart(starts_, middle) < seconds ? low = middle + 1 : high = middle;
    }
    gap->free_from = low;
  }
  // The fetch starts in the last layer that starts at `seconds` or earlier; the frame is free before that.
  void SetFreeTo(double seconds, Gap* gap) const {
    int32_t low = gap->begin;
    int32_t high = std::max(gap->end - 1, low);
    while (low < high) {
      const int32_t middle = low + (high - low + 1) / 2;
      PositionStart(starts_, middle) > seconds ? high = middle - 1 : low = middle;
    }
    gap->free_to = low - 1;
  }

  // Schedules the link for the gaps that are evicted now and corrects their free stretches. Those that turn out useless
  // stay resident.
  void ApplyLink() {
    bool dropped = true;
    for (int tries = 0; dropped && tries < 3; ++tries) {
      dropped = false;
      for (const Transfers& t : ScheduleLink(gaps_, starts_, link_)) {
        Gap& gap = gaps_[t.gap];
        gap.free_from = gap.begin + 1;
        gap.free_to = gap.end - 1;
        if (t.writes) SetFreeFrom(t.write_end, &gap);
        if (t.fetches) SetFreeTo(t.fetch_start, &gap);
        if (gap.free_to >= gap.free_from || gap.forced) continue;
        gap.evicted = false;
        gap.banned = true;
        dropped = true;
      }
    }
  }

  // Where frames are idle, fetches start earlier than they must, the next deadline first: what disturbs a live run then
  // finds them done.
  void StartFetchesEarlier(Residency* residency) {
    std::vector<int32_t> held = residency->held();
    std::vector<std::pair<double, Gap*>> order;
    for (Gap& gap : gaps_) {
      if (gap.evicted && gap.kind == GapKind::kLive) order.emplace_back(PositionStart(starts_, gap.end), &gap);
    }
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    const double lead = 24 * link_.in_seconds;
    for (auto& [deadline, gap] : order) {
      const double earliest = PositionStart(starts_, gap->free_to + 1) - lead;
      while (gap->free_to >= gap->free_from && gap->free_to > gap->begin + 1) {
        const int32_t layer = ((gap->free_to % timeline_.layers) + timeline_.layers) % timeline_.layers;
        if (held[layer] >= caps_[layer] || PositionStart(starts_, gap->free_to) < earliest) break;
        ++held[layer];
        --gap->free_to;
      }
    }
  }

  const GranuleTimeline& timeline_;
  std::vector<int32_t> caps_;
  const std::vector<double>& seconds_;
  std::vector<double> starts_;
  std::vector<Gap> gaps_;
  LinkModel link_;
  Variant variant_;
};

std::vector<int32_t> Caps(const GranuleTimeline& timeline, int64_t frames, int64_t slack) {
  std::vector<int32_t> caps = NeededFrames(timeline);
  const int64_t usual = std::max<int64_t>(frames - slack, 0);
  for (int32_t& cap : caps) cap = static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(cap, usual), 1 << 30));
  return caps;
}

// The layers' times with the waits that a replay saw: a wait before a layer gives the link that much more time.
std::vector<double> WithWaits(const profile::Profile& profile, const ReplayResult& replay) {
  std::vector<double> seconds = LayerSeconds(profile);
  const size_t layers = seconds.size();
  for (size_t l = 0; l < layers; ++l) seconds[(l + layers - 1) % layers] += replay.exposed_per_layer[l];
  return seconds;
}

bool Better(const MigrationPlan& a, const MigrationPlan& b) {
  const double tolerance = 1e-4 * b.predicted_seconds;
  if (a.predicted_seconds < b.predicted_seconds - tolerance) return true;
  if (a.predicted_seconds > b.predicted_seconds + tolerance) return false;
  return a.predicted_in + a.predicted_out < b.predicted_in + b.predicted_out;
}

// Tries the variants, then plans again with the waits that the best one still has, and keeps the best plan of all.
class Search {
 public:
  Search(const PlannerInput& input, const GranuleTimeline& timeline, MigrationPlan empty, std::vector<int32_t> caps,
         bool by_prices)
      : input_(input), timeline_(timeline), empty_(std::move(empty)), caps_(std::move(caps)), by_prices_(by_prices) {}

  absl::Status Run() {
    const std::vector<double> seconds = LayerSeconds(*input_.profile);
    for (int i = 0; i < Variants() && !Perfect(); ++i) {
      if (absl::Status status = Try(kVariants[i], seconds); !status.ok()) return status;
    }
    if (absl::Status status = LengthenByWaits(); !status.ok()) return status;
    const bool waits = best_replay_.exposed_seconds > kWorthPricing * best_replay_.seconds;
    if (!by_prices_ || !waits || Large()) return absl::OkStatus();
    if (absl::Status status = Try(kPricedVariant, seconds); !status.ok()) return status;
    return LengthenByWaits();
  }

  MigrationPlan TakeBest() { return std::move(best_); }

 private:
  absl::Status LengthenByWaits() {
    for (int round = 0; round < kTimeRounds; ++round) {
      if (best_replay_.exposed_seconds <= kNegligible * best_replay_.seconds) break;
      const double before = best_replay_.seconds;
      if (absl::Status status = Try(best_variant_, WithWaits(*input_.profile, last_replay_)); !status.ok())
        return status;
      if (round > 0 && best_replay_.seconds >= before) break;
    }
    return absl::OkStatus();
  }

  bool Large() const { return static_cast<double>(timeline_.granules.size()) * timeline_.layers > 4e6; }
  // Large steps take fewer tries, so that planning stays a matter of seconds.
  int Variants() const {
    const double size = static_cast<double>(timeline_.granules.size()) * timeline_.layers;
    return Large() ? 1 : size > 1e6 ? 2 : static_cast<int>(std::size(kVariants));
  }
  // Nothing waits, and nothing moves that another variant could save.
  bool Perfect() const { return tried_ && best_.predicted_exposed_seconds == 0 && best_.predicted_in == Bytes(0); }

  absl::Status Try(const Variant& variant, const std::vector<double>& seconds) {
    MigrationPlan plan = empty_;
    Attempt attempt(input_, timeline_, seconds, caps_, variant);
    EmitActions(timeline_, attempt.Solve(), &plan);
    absl::StatusOr<ReplayResult> replay = PredictWith(*input_.profile, input_.machine, &plan);
    if (!replay.ok()) return replay.status();
    last_replay_ = *replay;
    if (tried_ && !Better(plan, best_)) return absl::OkStatus();
    tried_ = true;
    best_ = std::move(plan);
    best_replay_ = *std::move(replay);
    best_variant_ = variant;
    return absl::OkStatus();
  }

  const PlannerInput& input_;
  const GranuleTimeline& timeline_;
  const MigrationPlan empty_;
  const std::vector<int32_t> caps_;
  const bool by_prices_;
  bool tried_ = false;
  MigrationPlan best_;
  ReplayResult best_replay_;
  ReplayResult last_replay_;
  Variant best_variant_ = kVariants[0];
};

}  // namespace

absl::StatusOr<MigrationPlan> LookaheadPlanner::Plan(const PlannerInput& input) const {
  if (absl::Status status = CheckInput(input); !status.ok()) return status;
  // Among the others, short-lived tensors need less room in all; apart from them, fewer granules are touched by layers
  // that share nothing else. Which is better is seen in the replay.
  absl::StatusOr<MigrationPlan> best = absl::InternalError("plan: no layout was tried");
  for (const ShortLived where : {ShortLived::kAmong, ShortLived::kApart}) {
    absl::StatusOr<MigrationPlan> plan = PlanWith(input, where);
    if (!plan.ok()) return plan;
    if (!best.ok() || Better(*plan, *best)) best = std::move(plan);
    const bool large = input.profile->tensors.size() * input.profile->layers.size() > kManyLayouts;
    if (large || input.layout_of != nullptr) break;
    if (best->predicted_exposed_seconds == 0 && best->predicted_in == Bytes(0)) break;
  }
  return best;
}

absl::StatusOr<MigrationPlan> LookaheadPlanner::PlanWith(const PlannerInput& input, ShortLived where) const {
  const absl::StatusOr<Layout> layout = LayoutFor(input, where);
  if (!layout.ok()) return layout.status();
  GranuleTimeline timeline = MakeTimeline(*input.profile, layout->offsets, input.granule_bytes);
  const int64_t frames = FramesOf(input);
  // With room for everything the slack isn't needed either.
  const bool all_fits = frames >= static_cast<int64_t>(timeline.granules.size());
  TrimToBudget(frames, &timeline);
  const int64_t slack = std::min<int64_t>(options_.slack_frames, frames / kFramesForSlack);
  const std::vector<int32_t> caps = Caps(timeline, frames, all_fits ? 0 : slack);
  Search search(input, timeline, StartPlan(name(), input, *layout), caps, options_.by_prices);
  if (absl::Status status = search.Run(); !status.ok()) return status;
  return search.TakeBest();
}

}  // namespace thermocline::plan

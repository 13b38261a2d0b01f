// Runtime's fourth part: plans, made again as steps turn out to take other times, and drift.
#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

#include "src/plan/rebase.h"
#include "src/runtime/runtime.h"
#include "src/runtime/shortest_layer.h"

namespace thermocline::runtime {
namespace {

// Placed steps after which the plan is made again from measured layer times.
constexpr int64_t kReplanAfter[] = {2, 6};
// Share of a step's allocations that may miss their places before the step is profiled anew.
constexpr double kDriftShare = 0.02;
// Of a step's transfers that found a queue, granules from which on they tell the link's speed.
constexpr int64_t kTellingGranules = 8;

void SetLayerSeconds(const std::vector<double>& seconds, profile::Profile* profile) {
  for (size_t i = 0; i < profile->layers.size() && i < seconds.size(); ++i) {
    profile->layers[i].seconds = std::max(kShortestLayer, seconds[i]);
  }
}

plan::Machine AtPace(plan::Machine machine, double pace) {
  for (plan::TierSpec& tier : machine.slow) {
    tier.in = BytesPerSecond(tier.in.rate() * pace);
    tier.out = BytesPerSecond(tier.out.rate() * pace);
    tier.latency_seconds /= pace;
  }
  return machine;
}

}  // namespace

// Fast bytes that a plan may use: what lies outside its sight, small objects, is taken off.
Bytes Runtime::PlanBudget() const {
  const Bytes granule = settings_.granule_bytes;
  const Bytes small = RoundUp(allocator_->SpanBytes(), granule) + granule;
  const arena::Residency::Lock lock(*residency_);
  return std::max(granule * residency_->frames().limit() - small, Bytes(0));
}

PlanTimes Runtime::TimesOf(const Shape& shape) {
  PlanTimes times;
  times.link_pace = shape.link_pace;
  for (const profile::Layer& layer : shape.profile.layers) times.layer_seconds.push_back(layer.seconds);
  return times;
}

// On the thread that marks the steps, which then take so much longer: while it plans, a thread of its own would take a
// core from the step for as long, and a plan for other times is made only when the step's time has earned it
// (TimeDrift).
absl::StatusOr<plan::MigrationPlan> Runtime::MakePlan(const profile::Profile& profile, const PlanWish& wish) {
  plan::PlannerInput input;
  input.profile = &profile;
  input.machine = AtPace(machine_, wish.link_pace);
  input.budget = PlanBudget();
  input.granule_bytes = settings_.granule_bytes;
  input.layout_base = allocator_->planned_begin();
  input.layout_of = wish.layout_of;
  const int64_t began = clock_.NowNanos();
  absl::StatusOr<plan::MigrationPlan> plan = planners_[wish.planner]->Plan(input);
  planning_seconds_ = (clock_.NowNanos() - began) * 1e-9;
  if (!plan.ok() || !wish.given) return plan;
  if (absl::Status status = plan::Rebase(allocator_->planned_begin(), allocator_->planned_end(), &*plan);
      !status.ok()) {
    return status;
  }
  return plan;
}

// The plan that was just made is held against the times that it was made from.
void Runtime::WatchTimes(Shape& shape) const {
  shape.drift.OnPlan(TimesOf(shape), shape.plan->predicted_exposed_per_layer, planning_seconds_, /*tried=*/false);
}

bool Runtime::Drifted() const {
  return step_mismatched_ > kDriftShare * static_cast<double>(step_matched_ + step_mismatched_);
}

// Without end_step the last layer goes on past its step's end, to where the next one begins.
void Runtime::CountLastLayer() {
  if (phase_.load() != Phase::kPlaced || shapes_[active_]->steps == 0) return;
  Shape& shape = *shapes_[active_];
  const size_t last = shape.profile.layers.size() - 1;
  std::vector<double>& mean = shape.measured_seconds;
  mean.resize(std::max(mean.size(), last + 1), 0);
  mean[last] += (step_layer_seconds_.back() - mean[last]) / static_cast<double>(shape.steps);
}

void Runtime::FinishPlacedStep(double seconds) {
  Shape& shape = *shapes_[active_];
  ++shape.steps;
  if (shape.steps <= *std::rbegin(kReplanAfter)) shape.seen_paces.push_back(LinkPace());
  if (!explicit_steps_) step_layer_seconds_.pop_back();  // of the last layer, which has only begun
  // Means, not minima: leads that fit the luckiest run of each layer come too late in all the others.
  std::vector<double>& mean = shape.measured_seconds;
  mean.resize(std::max(mean.size(), step_layer_seconds_.size()), 0);
  for (size_t i = 0; i < step_layer_seconds_.size(); ++i) {
    mean[i] += (step_layer_seconds_[i] - mean[i]) / static_cast<double>(shape.steps);
  }
  step_drifted_ = Drifted();
  if (step_drifted_) {
    const bool marked = explicit_steps_ || follows_rhythm_.load(std::memory_order_relaxed);
    profile_next_ |= marked ? strange_.OnStrange(steps_, first_unknown_) : MayProfileUnmarked();
    return;
  }
  if (!shape.profile_known) return;  // there is nothing to plan from
  // Made before the budget was changed.
  bool replan = shape.made_for != budget();
  // Plans are tried with layer times that placed steps took, not with those of the profile.
  replan |= shape.steps > kReplanAfter[0] && shape.trial.OnStep(seconds);
  replan |= std::find(std::begin(kReplanAfter), std::end(kReplanAfter), shape.steps) != std::end(kReplanAfter);
  try {
    if (replan) {
      Replan(shape).IgnoreError();  // the old plan stays in use
    } else if (shape.trial.decided() && shape.steps > *std::rbegin(kReplanAfter)) {
      FollowTimes(shape, seconds);
    }
  } catch (const std::bad_alloc&) {
    // As where no plan can be made.
  }
}

// With the hooks alone no mark ends a profiled step that nobody has asked for: it is over after as many layers as steps
// have. Where that is not their number any more, or two kinds of step take turns, no profile helps: so each waits for
// twice as many steps to drift as the one before.
bool Runtime::MayProfileUnmarked() {
  if (++drifted_steps_ < drifts_for_profile_) return false;
  drifted_steps_ = 0;
  drifts_for_profile_ *= 2;
  return true;
}

// The same profile, with the layer times that placed steps took and the link as fast as it was in them.
absl::Status Runtime::Replan(Shape& shape) {
  shape.made_for = budget();  // also where no plan can be made: another try would fail too
  profile::Profile profile = shape.profile;
  SetLayerSeconds(shape.measured_seconds, &profile);
  const double pace = SeenPace(shape.seen_paces, shape.link_pace);
  absl::StatusOr<plan::MigrationPlan> plan =
      MakePlan(profile, {.planner = shape.trial.current(), .link_pace = pace, .given = shape.given});
  if (!plan.ok()) return plan.status();
  auto next = std::make_unique<Shape>(std::move(profile), *std::move(plan));
  next->given = shape.given;
  next->trial = shape.trial;
  next->link_pace = pace;
  WatchTimes(*next);
  next->made_for = shape.made_for;
  next->last_used = shape.last_used;
  next->seen_paces = std::move(shape.seen_paces);
  next->steps = shape.steps;
  next->measured_seconds = std::move(shape.measured_seconds);
  shapes_[active_] = std::move(next);
  CountShapes();
  plan_changed_ = true;
  ++replans_;
  return absl::OkStatus();
}

// How fast the link was in this step, over what the machine's description says. 0: too little was moved to tell.
double Runtime::LinkPace() const {
  const migrate::MoverStats now = mover_->Stats();
  const Bytes in = now.queued_in - step_mover_stats_.queued_in;
  const Bytes out = now.queued_out - step_mover_stats_.queued_out;
  const double took = (now.queued_nanos - step_mover_stats_.queued_nanos) * 1e-9;
  if (in + out < settings_.granule_bytes * kTellingGranules || took <= 0) return 0;
  const plan::TierSpec& tier = machine_.slow.front();
  const double in_seconds = SecondsFor(in, tier.in), out_seconds = SecondsFor(out, tier.out);
  const double slowest = (in_seconds + out_seconds) / took;
  if (!tier.full_duplex) return slowest;
  // The two directions may have been busy one after the other, or both at a time.
  const double fastest = std::max(in_seconds, out_seconds) / took;
  return std::clamp(1.0, fastest, slowest);
}

void Runtime::FollowTimes(Shape& shape, double seconds) {
  const double exposed = (residency_->exposed_nanos() - step_exposed_) * 1e-9;
  const TimeDrift::Action action = shape.drift.OnStep({seconds, exposed, step_layer_seconds_, LinkPace()});
  if (action == TimeDrift::Action::kPlan) return PlanForMeasured(shape);
  if (shape.plan_before == nullptr || shape.drift.trying()) return;
  if (action == TimeDrift::Action::kTakeBack) {
    shape.plan = shape.plan_before;
    SetLayerSeconds(shape.times_before.layer_seconds, &shape.profile);
    shape.link_pace = shape.times_before.link_pace;
    plan_changed_ = true;
  }
  shape.plan_before = nullptr;
  CountShapes();
}

// The places stay: tensors are alive in them that outlive the step. Where planning fails the old plan stays too.
void Runtime::PlanForMeasured(Shape& shape) {
  profile::Profile profile = shape.profile;
  const PlanTimes& measured = shape.drift.measured();
  SetLayerSeconds(measured.layer_seconds, &profile);
  absl::StatusOr<plan::MigrationPlan> plan = MakePlan(profile, {.planner = shape.trial.current(),
                                                                .link_pace = measured.link_pace,
                                                                .layout_of = shape.plan.get(),
                                                                .given = shape.given});
  if (!plan.ok()) return;
  auto made = std::make_shared<const plan::MigrationPlan>(*std::move(plan));
  shape.times_before = TimesOf(shape);
  shape.link_pace = measured.link_pace;
  shape.profile = std::move(profile);
  shape.plan_before = std::exchange(shape.plan, std::move(made));
  CountShapes();
  plan_changed_ = true;
  ++replans_;
  shape.drift.OnPlan(measured, shape.plan->predicted_exposed_per_layer, planning_seconds_, /*tried=*/true);
}

}  // namespace thermocline::runtime

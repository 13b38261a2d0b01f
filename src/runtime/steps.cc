// Runtime's other half: the step's marks, profiling, records.
#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"
#include "src/base/reserve.h"
#include "src/os/fault_signal.h"
#include "src/runtime/fork_guard.h"
#include "src/runtime/runtime.h"
#include "src/runtime/shortest_layer.h"

namespace thermocline::runtime {
namespace {

// Steps by demand before the first profile, when steps are marked explicitly: optimizers allocate their state in the
// first.
constexpr int64_t kWarmUpSteps = 1;
constexpr size_t kMostShapes = 8;
// Allocations from so many granules up may begin a layer.
constexpr int64_t kSplitGranules = 2;
// The placed step that is recorded in detail for reports.
constexpr int64_t kRecordedStep = 4;
// Records of steps that are kept. The recorded step is among the first.
constexpr size_t kMostRecords = 8192, kFirstRecords = 1024;

}  // namespace

absl::Status Runtime::StartProfile() {
  if (in_forked_child_) return absl::OkStatus();
  os::LockGuard guard(marks_lock_);
  StopFollowingLocked();
  if (profile_asked_ || (phase_.load() == Phase::kProfiling && owed_layers_ == 0)) {
    return absl::FailedPreconditionError("start_profile was called before; end_profile must come first");
  }
  profile_asked_ = true;
  CallOffOwedProfile();
  if (GivenPlanStands()) {
    if (!explicit_steps_) TrustGivenPlan();
    return absl::OkStatus();
  }
  if (explicit_steps_) {
    profile_next_ = true;
    return absl::OkStatus();
  }
  if (in_step_) FinishLayer();
  BeginLocked(/*profile=*/true, active_);
  return absl::OkStatus();
}

absl::Status Runtime::EndProfile() {
  if (in_forked_child_) return absl::OkStatus();
  os::LockGuard guard(marks_lock_);
  if (!profile_asked_)
    return absl::FailedPreconditionError("end_profile without start_profile; call that before the step");
  profile_asked_ = false;
  const bool trusted = std::exchange(trust_.open, false);
  if (explicit_steps_) return absl::OkStatus();
  if (!trusted) return EndLocked();
  CheckGivenPlan();
  return absl::OkStatus();
}

// A plan that was given at start does instead of a profile, until steps turn out to be others.
bool Runtime::GivenPlanStands() const {
  return !shapes_.empty() && shapes_[active_]->given && (!profile_next_ || !plans_);
}

// The step that start_profile marks runs by the given plan, from its first layer on. Where steps before it had another
// number of layers than the plan, one of them seems not to be over yet.
void Runtime::TrustGivenPlan() {
  trust_ = {.open = true, .steps = steps_.load()};
  in_step_ = false;
}

// At the marked step's end. One that is not the plan's is profiled after all, the next time that it comes.
void Runtime::CheckGivenPlan() {
  const bool whole = !in_step_ && steps_ == trust_.steps + 1;
  if (whole && !Drifted()) return;
  in_step_ = false;
  if (!plans_) return;
  profile_next_ = true;
  owed_layers_ = trust_.layers;
}

void Runtime::CallOffOwedProfile() {
  if (std::exchange(owed_layers_, 0) == 0) return;
  if (phase_.load() == Phase::kProfiling) recorder_->End();
  phase_.store(Phase::kDemand);
  profile_next_ = true;
}

absl::Status Runtime::BeginStep() {
  if (in_forked_child_) return absl::OkStatus();
  os::LockGuard guard(marks_lock_);
  StopFollowingLocked();
  if (in_step_ && explicit_steps_) {
    return absl::FailedPreconditionError("begin_step within a step; end_step must come first");
  }
  if (!explicit_steps_ && phase_.load() == Phase::kProfiling) {
    // start_profile began a step without marks; the marked one that begins here is what is meant.
    recorder_->End();
    phase_.store(Phase::kDemand);
    profile_next_ = true;
  }
  explicit_steps_ = true;
  if (steps_ > 0 || in_step_) FinishLayer();
  const bool first = shapes_.empty() && plans_ && steps_ >= kWarmUpSteps;
  BeginLocked(first || ProfileIsDue(), active_);
  return EnterLayer();
}

absl::Status Runtime::EndStep() {
  if (in_forked_child_) return absl::OkStatus();
  os::LockGuard guard(marks_lock_);
  if (!in_step_) return absl::FailedPreconditionError("end_step without begin_step");
  return EndLocked();
}

absl::Status Runtime::AddLayer(absl::string_view name) {
  if (in_forked_child_) return absl::OkStatus();
  os::LockGuard guard(marks_lock_);
  StopFollowingLocked();
  if (trust_.open) ++trust_.layers;
  if (OwedProfileIsWhole()) {
    owed_layers_ = 0;
    if (absl::Status status = EndLocked(); !status.ok()) return status;
  }
  if (!in_step_) {
    // Between explicit steps, or before the first: no layer of any step.
    if (explicit_steps_ || shapes_.empty()) return absl::OkStatus();
    // Steps are not marked: the profiled step's number of layers says where one ends.
    FinishLayer();
    CountLastLayer();
    JudgeTail();
    if (owed_layers_ == 0 && !trust_.open && ProfileIsDue()) {
      owed_layers_ = static_cast<int32_t>(shapes_[active_]->layer_count()) - 1;
    }
    BeginLocked(owed_layers_ > 0, active_);
    EnterLayer().IgnoreError();  // the coming layer's answer is the one that counts
  }
  absl::Status status = NextLayerLocked(name);
  return EndsWithThisLayer() ? EndLocked() : status;
}

// What came after a step's last mark belongs to it, but was not there yet when that mark judged it.
void Runtime::JudgeTail() {
  const bool judged = step_drifted_ || profile_next_ || owed_layers_ > 0 || trust_.open;
  if (phase_.load() == Phase::kPlaced && !judged && Drifted()) profile_next_ = MayProfileUnmarked();
}

// Without end_step, the last layer's beginning is the step's end: what follows belongs to that layer.
bool Runtime::EndsWithThisLayer() const {
  return !explicit_steps_ && phase_.load() != Phase::kProfiling && !shapes_.empty() &&
         layer_.load() + 1 >= shapes_[active_]->layer_count();
}

// No end_profile ends it: so many layers did the step have that its plan didn't fit.
bool Runtime::OwedProfileIsWhole() const {
  return !explicit_steps_ && owed_layers_ > 0 && phase_.load() == Phase::kProfiling && layer_.load() >= owed_layers_;
}

absl::Status Runtime::NextLayerLocked(absl::string_view name) {
  std::string copy(name);
  FinishLayer();
  layer_.fetch_add(1, std::memory_order_relaxed);
  ordinal_ = 0;
  layer_name_ = std::move(copy);
  return EnterLayer();
}

// A layer may use memory in turns: scratch is freed before more is allocated. Where steps are marked explicitly, a
// large allocation that is not the layer's first event therefore begins a layer of its own: what was freed can make
// room for it, and it need not be there before. An operator's floor is then what it holds at once, not all that it ever
// touches.
void Runtime::SplitLayer(Bytes bytes) {
  if (bytes < settings_.granule_bytes * kSplitGranules || ordinal_ == 0 || !in_step_.load() ||
      !explicit_steps_.load()) {
    return;
  }
  os::LockGuard guard(marks_lock_);
  NextLayerLocked(layer_name_).IgnoreError();  // the next mark reports it
}

// ---------------------------------------------------------------------------------------------------------------------

void Runtime::BeginLocked(bool profile, size_t shape) {
  os::ReclaimFaultSignals();
  PollForks();
  driver_.store(ThreadMark(), std::memory_order_relaxed);
  layer_.store(0, std::memory_order_relaxed);
  ordinal_ = 0;
  layer_name_ = "step begins";
  step_log_.clear();
  step_layer_seconds_.clear();
  step_matched_ = step_mismatched_ = 0;
  step_drifted_ = false;
  step_began_ = layer_began_ = clock_.NowNanos();
  step_exposed_ = layer_exposed_ = residency_->exposed_nanos();
  step_mover_stats_ = mover_->Stats();
  if (profile && plans_) {
    StartRecorder();
    profile_next_ = false;
  } else if (!shapes_.empty() && !WarmsUp(*shapes_[shape])) {
    phase_.store(Phase::kPlaced);
    Activate(shape, 0);
    StartRecordingIfDue();
  }
  in_step_ = true;  // last: without memory for the profile it has not begun, and can be begun again
}

// A profile that start_profile asked for says that the warm-up is over; so does start_profile where a plan was given.
bool Runtime::WarmsUp(const Shape& shape) const {
  return steps_ < kWarmUpSteps && (explicit_steps_ || (shape.given && !trust_.open));
}

void Runtime::StartRecorder() {
  if (plan_running_) {
    mover_->SetPlan(nullptr, position_);
    residency_->SetPlanned(false, {}, {});
    plan_running_ = false;
  }
  recorder_->Begin(allocator_->LiveLarge());
  ++profiles_;
  phase_.store(Phase::kProfiling);
}

// The shape's plan is executed from this layer of this step on.
void Runtime::Activate(size_t index, int32_t layer) {
  const Shape& shape = *shapes_[index];
  const int64_t layers = std::max<int64_t>(1, shape.layer_count());
  position_ = (position_ / layers + 1) * layers;
  const bool same = plan_running_ && !plan_changed_ && index == active_;
  active_ = index;
  shapes_[index]->last_used = steps_;
  if (same) return;
  const Bytes granule = settings_.granule_bytes;
  residency_->SetPlanned(true, GranuleId(static_cast<uint32_t>(shape.plan->layout_base / granule.count())),
                         GranuleId(static_cast<uint32_t>(shape.plan->layout_end / granule.count() + 1)));
  plan_running_ = true;
  plan_changed_ = false;
  mover_->SetPlan(shape.plan, position_ + layer);
}

// Waits for what the layer needs.
absl::Status Runtime::EnterLayer() {
  if (phase_.load(std::memory_order_relaxed) != Phase::kPlaced) return absl::OkStatus();
  const plan::MigrationPlan& plan = *shapes_[active_]->plan;
  const int32_t layer = layer_.load(std::memory_order_relaxed);
  if (layer >= std::ssize(plan.layers)) {
    NoteMismatch({layer, -1, Bytes(0)});  // add_layer out of step: more layers than were profiled
    return absl::OkStatus();
  }
  const plan::LayerActions& actions = plan.layers[layer];
  if (!actions.release.empty() || !actions.write_back.empty() || !actions.provide.empty() || !actions.fetch.empty()) {
    mover_->EnterLayer(position_ + layer);
  }
  absl::Status status;
  if (!plan.waits) return status;
  for (GranuleId id : actions.need) {
    // Without a lock, which would be two system calls: most are there, or are yet to be born in this layer.
    if (residency_->IsMapped(id) || residency_->IsVacant(id)) continue;
    if (absl::Status waited = residency_->Wait(id); !waited.ok()) status.Update(waited);
  }
  return status;
}

void Runtime::FinishLayer() {
  const int64_t now = clock_.NowNanos();
  const int64_t exposed = residency_->exposed_nanos() - layer_exposed_;
  const Phase phase = phase_.load(std::memory_order_relaxed);
  if (phase == Phase::kProfiling) {
    recorder_->EndLayer(LayerId(layer_.load()), layer_name_, exposed);
  } else if (phase == Phase::kPlaced) {
    step_layer_seconds_.push_back((now - layer_began_ - exposed) * 1e-9);
    if (recording_) RecordLayer(now, exposed);
  }
  layer_began_ = clock_.NowNanos();
  layer_exposed_ = residency_->exposed_nanos();
}

absl::Status Runtime::EndLocked() {
  ReserveFor(record_.steps, record_.steps.size() + 1);
  FinishLayer();
  absl::Status status;
  const bool profiled = phase_.load() == Phase::kProfiling;
  const double seconds = (layer_began_ - step_began_) * 1e-9;
  RecordStep(profiled, seconds);
  if (profiled) {
    status = FinishProfile();
  } else if (phase_.load() == Phase::kPlaced) {
    FinishPlacedStep(seconds);
    layer_began_ = clock_.NowNanos();  // what planning took is no layer's
  }
  in_step_ = false;
  ++steps_;
  return status.ok() ? residency_->TakeError() : status;
}

absl::Status Runtime::FinishProfile() {
  phase_.store(Phase::kDemand);  // first: the step ends also where there is no memory to plan with
  profile::Profile profile = recorder_->End();
  if (!explicit_steps_) JoinHeadAndTail(&profile);
  const uint64_t hash = profile::SequenceHash(profile);
  const Trial trial(static_cast<int>(planners_.size()));
  absl::StatusOr<plan::MigrationPlan> plan = MakePlan(profile, {.planner = trial.current()});
  if (!plan.ok()) return plan.status();
  ReportFloor(profile);
  auto shape = std::make_unique<Shape>(std::move(profile), *std::move(plan));
  shape->trial = trial;
  shape->made_for = budget();
  shape->last_used = steps_;
  WatchTimes(*shape);
  for (size_t i = 0; i < shapes_.size(); ++i) {
    if (profile::SequenceHash(shapes_[i]->profile) != hash) continue;
    shapes_[i] = std::move(shape);
    active_ = i;
    CountShapes();
    return absl::OkStatus();
  }
  if (shapes_.size() == kMostShapes) {
    shapes_.erase(std::min_element(shapes_.begin(), shapes_.end(),
                                   [](const auto& a, const auto& b) { return a->last_used < b->last_used; }));
  }
  shapes_.push_back(std::move(shape));
  active_ = shapes_.size() - 1;
  CountShapes();
  return absl::OkStatus();
}

void Runtime::NoteMismatch(const Identity& identity) {
  if (++step_mismatched_ == 1) first_unknown_ = identity;
}

bool Runtime::ProfileIsDue() const { return plans_ && (profile_next_ || strange_.IsDue(steps_)); }

void Runtime::CountShapes() {
  int64_t bytes = 0;
  for (const std::unique_ptr<Shape>& shape : shapes_) bytes += shape->MemoryBytes().count();
  shape_bytes_ = bytes;
}

void Runtime::JoinHeadAndTail(profile::Profile* profile) {
  const LayerId last(static_cast<int32_t>(std::ssize(profile->layers)) - 1);
  if (last.value() <= 0) return;
  int64_t events = 0;
  for (const profile::Tensor& tensor : profile->tensors) {
    events = std::max({events, tensor.birth_event + 1, tensor.death_event + 1});
  }
  const int64_t head_events = profile->layers.size() > 1 ? profile->layers[1].first_event : 0;
  const int32_t tail_allocations = static_cast<int32_t>(
      std::count_if(profile->tensors.begin(), profile->tensors.end(),
                    [&](const profile::Tensor& tensor) { return tensor.birth == last && tensor.ordinal >= 0; }));
  for (profile::Tensor& tensor : profile->tensors) {
    if (tensor.birth == LayerId(0)) {
      // It comes after the tail's allocations now. One that dies in the tail lives through a whole round.
      if (tensor.ordinal >= 0) tensor.ordinal += tail_allocations;
      tensor.birth = last;
      if (tensor.death == last) {
        tensor.death = kNoLayer;
        tensor.death_event = -1;
      }
    }
    if (tensor.death == LayerId(0)) tensor.death = last;
    if (tensor.birth_event >= 0 && tensor.birth_event < head_events) tensor.birth_event += events;
    if (tensor.death_event >= 0 && tensor.death_event < head_events) tensor.death_event += events;
    if (tensor.accesses.empty() || tensor.accesses.front().layer != LayerId(0)) continue;
    profile::Access head = tensor.accesses.front();
    tensor.accesses.erase(tensor.accesses.begin());
    head.layer = last;
    if (tensor.accesses.empty() || tensor.accesses.back().layer != last) {
      tensor.accesses.push_back(head);
    } else {
      profile::Access& tail = tensor.accesses.back();
      tail.read |= head.read;
      tail.write |= head.write;
      tail.pages += head.pages;
    }
  }
  profile->layers[last.value()].seconds += profile->layers[0].seconds;
  profile->layers[0].seconds = kShortestLayer;
}

// Once: a slow tier that compute can't use in place makes a layer thrash that does not fit.
void Runtime::ReportFloor(const profile::Profile& profile) {
  const profile::Floor floor = profile::FloorBytes(profile);
  if (reported_floor_ || floor.bytes <= PlanBudget()) return;
  reported_floor_ = true;
  std::fprintf(
      stderr,
      "thermocline: the fast budget of %s is below the floor of this step, %s, set by layer %d (%s): that layer "
      "will fetch by demand. Raise the budget, or mark finer layers.\n",
      FormatBytes(settings_.fast).c_str(), FormatBytes(floor.bytes).c_str(), floor.layer.value(),
      profile.layers[floor.layer.value()].name.c_str());
}

// ---------------------------------------------------------------------------------------------------------------------
// Records.

void Runtime::RecordStep(bool profiled, double seconds) {
  const migrate::MoverStats now = mover_->Stats();
  StepRecord step;
  step.seconds = seconds;
  step.exposed_seconds = (residency_->exposed_nanos() - step_exposed_) * 1e-9;
  step.bytes_in = now.bytes_in - step_mover_stats_.bytes_in;
  step.bytes_out = now.bytes_out - step_mover_stats_.bytes_out;
  step.demand_fetches = now.demand_fetches - step_mover_stats_.demand_fetches;
  step.profiled = profiled;
  if (phase_.load() == Phase::kPlaced) {
    const Shape& shape = *shapes_[active_];
    const plan::MigrationPlan& plan = *shape.plan;
    step.planner = plan.planner;
    step.predicted_seconds = plan.predicted_seconds;
    if (!explicit_steps_) step.predicted_seconds -= shape.profile.layers.back().seconds;  // it has only begun
    step.predicted_exposed_seconds = plan.predicted_exposed_seconds;
  }
  if (recording_) {
    recording_ = false;
    record_.moves = mover_->TakeRecords();
    record_.recorded_step = std::ssize(record_.steps);
  }
  if (record_.steps.size() == kMostRecords) {
    // The first and the latest are kept.
    record_.steps.erase(record_.steps.begin() + kFirstRecords, record_.steps.begin() + kMostRecords / 2);
  }
  record_.steps.push_back(step);
  record_bytes_ = static_cast<int64_t>(record_.steps.capacity() * sizeof(StepRecord) +
                                       record_.layers.capacity() * sizeof(LayerRecord) +
                                       record_.moves.capacity() * sizeof(migrate::MoveRecord));
  const bool placed = phase_.load() == Phase::kPlaced;
  if (placed && record_.recorded_step < 0 && shapes_[active_]->steps + 1 >= kRecordedStep) record_next_ = true;
}

void Runtime::StartRecordingIfDue() {
  if (!record_next_) return;
  record_next_ = false;
  recording_ = true;
  record_.layers.clear();
  record_.recorded_position = position_;
  record_.recorded_began_nanos = step_began_;
  mover_->StartRecording();
  layer_mover_stats_ = mover_->Stats();
}

void Runtime::RecordLayer(int64_t now, int64_t exposed) {
  const migrate::MoverStats moved = mover_->Stats();
  const arena::ResidencyStats residency = residency_->Stats();
  LayerRecord layer;
  layer.name = layer_name_;
  layer.start = (layer_began_ - step_began_) * 1e-9;
  layer.end = (now - step_began_) * 1e-9;
  layer.exposed_seconds = exposed * 1e-9;
  const std::vector<double>& predicted = shapes_[active_]->plan->predicted_exposed_per_layer;
  if (layer_.load() < std::ssize(predicted)) layer.predicted_exposed_seconds = predicted[layer_.load()];
  layer.fast_bytes = settings_.granule_bytes * residency.frames_in_use;
  layer.slow_bytes = settings_.granule_bytes * std::max<int64_t>(0, residency.backed - residency.frames_in_use);
  layer.bytes_in = moved.bytes_in - layer_mover_stats_.bytes_in;
  layer.bytes_out = moved.bytes_out - layer_mover_stats_.bytes_out;
  layer_mover_stats_ = moved;
  record_.layers.push_back(std::move(layer));
}

std::optional<ShapeCopy> Runtime::CopyShape() const {
  os::LockGuard guard(marks_lock_);
  if (shapes_.empty()) return std::nullopt;
  const Shape& shape = *shapes_[active_];
  return ShapeCopy{shape.profile, shape.plan, shape.profile_known};
}

RunRecord Runtime::Record() const {
  os::LockGuard guard(marks_lock_);
  return record_;
}

}  // namespace thermocline::runtime

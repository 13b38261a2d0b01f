// Runtime's third part: programs that mark no steps. Their rhythm begins the steps and the layers.
#include <algorithm>
#include <cstdio>
#include <utility>

#include "src/runtime/runtime.h"

namespace thermocline::runtime {
namespace {

// Shapes of rhythms that are remembered, the latest.
constexpr size_t kMostRhythmicShapes = 32;

}  // namespace

void Runtime::FollowRhythm(bool says) {
  os::LockGuard guard(marks_lock_);
  if (!plans_) return;  // by demand only
  follower_ = std::make_unique<RhythmFollower>();
  says_rhythm_ = says;
  rhythm_stats_.sought = true;
  follows_rhythm_ = true;
}

RhythmStats Runtime::rhythm_stats() const {
  os::LockGuard guard(marks_lock_);
  RhythmStats stats = rhythm_stats_;
  if (follower_ == nullptr) return stats;
  stats.found = follower_->found();
  stats.lost = follower_->lost();
  return stats;
}

void* Runtime::AllocateInRhythm(Bytes bytes, Bytes alignment, const void* call_site) {
  if (!arena::Allocator::IsLarge(bytes) || in_forked_child_) return AllocateAnywhere(bytes, alignment, false, nullptr);
  Identity identity{0, -1, arena::Allocator::Rounded(bytes)};
  int64_t offset = Shape::kAnywhere;
  {
    os::LockGuard guard(marks_lock_);
    const Cue cue = OnRhythmEventLocked({RhythmKey(identity.rounded, call_site), identity.rounded, clock_.NowNanos()});
    identity.layer = layer_.load();
    identity.ordinal = cue.ordinal;
    if (phase_.load() == Phase::kPlaced && cue.ordinal >= 0) {
      offset = shapes_[active_]->OffsetFor(identity);
      const bool known = offset != Shape::kUnknown;
      known ? static_cast<void>(++step_matched_) : NoteMismatch(identity);
      (known ? matched_ : mismatched_).fetch_add(1, std::memory_order_relaxed);
    }
  }
  uint64_t serial = 0;
  void* pointer = nullptr;
  if (offset >= 0 && alignment <= arena::Allocator::kPage) {
    pointer = Secured(allocator_->AllocateAt(offset, bytes, &serial), bytes);
  }
  const bool profiling = phase_.load() == Phase::kProfiling;
  if (pointer == nullptr) pointer = AllocateAnywhere(bytes, alignment, profiling, &serial);
  if (profiling && pointer != nullptr && serial != 0) {
    RecordAllocation(identity, pointer, bytes, serial);
  }
  return pointer;
}

// After the free: the layer in which the tensor was last alive is the one that ends here.
void Runtime::FreedInRhythm(const arena::Allocation& freed) {
  if (in_forked_child_) return;
  const Bytes change = Bytes(0) - freed.rounded;
  os::LockGuard guard(marks_lock_);
  OnRhythmEventLocked({RhythmKey(change, nullptr), change, clock_.NowNanos()});
}

Cue Runtime::OnRhythmEventLocked(const RhythmEvent& event) {
  if (!follows_rhythm_) return {};
  // With room for everything no plan is wanted.
  if (!rhythm_stats_.pressed) rhythm_stats_.pressed = mover_->Stats().bytes_out.count() > 0;
  const Cue cue = follower_->OnEvent(event, ThreadMark(), rhythm_stats_.pressed);
  switch (cue.action) {
    case Cue::Action::kNone:
      break;
    case Cue::Action::kBegin:
      BeginRhythmicStepLocked(cue.rhythm);
      [[fallthrough]];
    case Cue::Action::kLayer:
      while (in_step_ && layer_.load() < cue.layer) NextLayerLocked("").IgnoreError();  // nobody asks
      break;
    case Cue::Action::kLost:
      rhythm_began_ = 0;
      AbandonStepLocked();
      break;
  }
  return cue;
}

Runtime::RhythmicShape* Runtime::FindRhythmicShape(int32_t rhythm) {
  const auto known = std::find_if(rhythmic_shapes_.begin(), rhythmic_shapes_.end(),
                                  [rhythm](const RhythmicShape& shape) { return shape.rhythm == rhythm; });
  return known == rhythmic_shapes_.end() ? nullptr : &*known;
}

void Runtime::EndRhythmicStepLocked() {
  const bool profiled = phase_.load() == Phase::kProfiling;
  if (phase_.load() == Phase::kPlaced) ++rhythm_stats_.placed_steps;
  residency_->TakeError().IgnoreError();  // nobody asks, and it doesn't keep a plan from being made
  const bool planned = EndLocked().ok();
  if (!profiled) return;
  const double demand_seconds = follower_->rhythm().seconds;  // of a period before it was found
  std::erase_if(rhythmic_shapes_, [this](const RhythmicShape& known) { return known.rhythm == step_rhythm_; });
  if (rhythmic_shapes_.size() == kMostRhythmicShapes) rhythmic_shapes_.erase(rhythmic_shapes_.begin());
  rhythmic_shapes_.push_back(
      {step_rhythm_, planned ? profile::SequenceHash(shapes_[active_]->profile) : uint64_t{0}, Judge(demand_seconds)});
  if (planned) SayRhythm();
}

// The rhythm's step that ends now, by plan or by demand, and so the way of the next.
void Runtime::JudgeStepLocked(int64_t now) {
  const int64_t began = std::exchange(rhythm_began_, now);
  RhythmicShape* const known = FindRhythmicShape(step_rhythm_);
  if (began == 0 || known == nullptr || known->sequence_hash == 0) return;
  if (phase_.load() != (known->judge.way() == Way::kPlanned ? Phase::kPlaced : Phase::kDemand)) return;
  if (!known->judge.OnStep((now - began) * 1e-9)) return;
  if (known->judge.way() == Way::kDemand) ++rhythm_stats_.fell_back;
  SayWay(known->judge);
}

void Runtime::BeginRhythmicStepLocked(int32_t rhythm) {
  explicit_steps_ = true;
  JudgeStepLocked(clock_.NowNanos());
  if (in_step_) EndRhythmicStepLocked();
  step_rhythm_ = rhythm;
  const RhythmicShape* const known = FindRhythmicShape(rhythm);
  if (known != nullptr && (known->sequence_hash == 0 || known->judge.way() == Way::kDemand)) return AbandonStepLocked();
  size_t shape = shapes_.size();
  if (known == nullptr) {
    SayGivenPlanIsNotUsed();
  } else {
    shape = std::find_if(shapes_.begin(), shapes_.end(),
                         [&](const std::unique_ptr<Shape>& candidate) {
                           return profile::SequenceHash(candidate->profile) == known->sequence_hash;
                         }) -
            shapes_.begin();
  }
  BeginLocked(shape == shapes_.size() || ProfileIsDue(), shape);
  EnterLayer().IgnoreError();  // nobody asks
}

void Runtime::AbandonStepLocked() {
  if (phase_.load() == Phase::kProfiling) recorder_->End();
  phase_.store(Phase::kDemand);
  in_step_ = false;
  recording_ = false;
  if (!plan_running_) return;
  mover_->SetPlan(nullptr, position_);
  residency_->SetPlanned(false, {}, {});
  plan_running_ = false;
}

// The program marks its steps after all.
void Runtime::StopFollowingLocked() {
  if (!follows_rhythm_) return;
  follows_rhythm_ = false;
  rhythm_stats_.sought = false;
  if (in_step_) AbandonStepLocked();
  explicit_steps_ = false;
  // A plan that was given has waited for marks.
  const auto given = std::find_if(shapes_.begin(), shapes_.end(), [](const auto& shape) { return shape->given; });
  if (given != shapes_.end()) active_ = given - shapes_.begin();
}

// Its layers are those that were marked. A rhythm's begin where time passed between two events, other ones in each run.
void Runtime::SayGivenPlanIsNotUsed() {
  const bool given = !shapes_.empty() && shapes_.front()->given;
  if (!given || !says_rhythm_ || std::exchange(said_plan_not_used_, true)) return;
  std::fprintf(stderr,
               "thermocline: %s is not used to place anything: a plan knows a step by its marks, and this program "
               "marks none. Its steps "
               "are found in the rhythm of its allocations instead, and one is profiled\n",
               settings_.GivenFile().c_str());
}

void Runtime::SayRhythm() {
  const Rhythm& rhythm = follower_->rhythm();
  rhythm_stats_.allocations = rhythm.allocations;
  rhythm_stats_.layers = rhythm.layers;
  if (!says_rhythm_) return;
  std::fprintf(stderr,
               "thermocline: rhythm found: %d large allocations a step, in %d layers; planned after one step was "
               "profiled\n",
               rhythm.allocations, rhythm.layers);
}

void Runtime::SayWay(const Judge& judge) {
  if (!says_rhythm_) return;
  const double seconds = judge.other_seconds();
  if (judge.way() == Way::kDemand) {
    std::fprintf(stderr,
                 "thermocline: a step by plan takes %.3g s, longer than by demand: going on by demand. The plan has "
                 "another try later\n",
                 seconds);
  } else {
    std::fprintf(stderr, "thermocline: a step by demand takes %.3g s: trying the plan again\n", seconds);
  }
}

}  // namespace thermocline::runtime

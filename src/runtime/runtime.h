// Runtime: the whole house behind the C API: allocation by plan, the step's marks, profiling, planning, execution.
//
// A step in its life: by demand at first; the profiled step records every layer's touches; end_step plans; from the
// next step on allocations are matched to their planned places and the mover executes the plan, while add_layer waits
// only for what the coming layer needs and is not there. Measured layer times replace the profiled ones after two
// placed steps. Thread safety: Allocate, Free, hints, SetBudget, Stats, CopyShape and Record from any thread. The
// step's marks from one thread at a time; its allocations are the ones that are matched. Ownership: owns everything
// under it. Errors: absl::Status; allocation returns nullptr.
#ifndef THERMOCLINE_RUNTIME_RUNTIME_H_
#define THERMOCLINE_RUNTIME_RUNTIME_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/arena/allocator.h"
#include "src/arena/residency.h"
#include "src/base/clock.h"
#include "src/migrate/mover.h"
#include "src/os/futex.h"
#include "src/os/memory.h"
#include "src/plan/planner.h"
#include "src/runtime/judge.h"
#include "src/runtime/rhythm_follower.h"
#include "src/runtime/run_record.h"
#include "src/runtime/settings.h"
#include "src/runtime/shape_book.h"
#include "src/runtime/step_recorder.h"
#include "src/runtime/strange_steps.h"
#include "src/runtime/time_drift.h"
#include "src/tier/block_tier.h"

namespace thermocline::runtime {

struct RuntimeStats {
  Bytes budget;
  Bytes fast;  // frames in use, and what the system caches of the slow tier
  Bytes peak_fast;
  arena::ResidencyStats residency;
  arena::AllocatorStats allocator;
  migrate::MoverStats mover;
  tier::BlockTierStats tier;
  int64_t steps = 0;
  int64_t matched = 0;
  int64_t mismatched = 0;
  int64_t replans = 0;
  int64_t profiles = 0;
  // Bookkeeping of this runtime: tables, lists, profiles, plans and the run record. Page tables and what a slow tier
  // keeps for itself are not counted.
  Bytes metadata;
};

struct ShapeCopy {
  profile::Profile profile;
  std::shared_ptr<const plan::MigrationPlan> plan;
  bool profile_known = true;  // false: the plan was given at start
};

// What became of a program that marks no steps.
struct RhythmStats {
  bool sought = false;
  bool pressed = false;  // something had to leave fast memory; before that no rhythm is looked for
  int64_t found = 0;     // rhythms
  int64_t lost = 0;
  int64_t allocations = 0;  // in a step of the last one that was planned
  int64_t layers = 0;
  int64_t placed_steps = 0;
  int64_t fell_back = 0;  // times that steps by plan were slower than by demand, and were given up
};

class Runtime {
 public:
  static absl::StatusOr<std::unique_ptr<Runtime>> Create(const Settings& settings);
  // For tests: on this slow tier, whatever settings.slow names. Its granules must be settings.granule_bytes.
  static absl::StatusOr<std::unique_ptr<Runtime>> CreateOn(const Settings& settings,
                                                           std::unique_ptr<tier::BlockTier> slow);
  ~Runtime();

  // `call_site`: what tells this allocation from others of its size, for programs that mark no steps.
  void* Allocate(Bytes bytes, Bytes alignment, const void* call_site = nullptr);
  // False for a pointer that is no live allocation of this runtime.
  bool Free(void* pointer);
  Bytes UsableBytes(const void* pointer) const { return allocator_->UsableBytes(pointer); }
  bool Contains(const void* pointer) const { return residency_->Contains(pointer); }

  // The program marks no steps: they are found in the rhythm of its allocations, until it marks one after all. Call it
  // before the first allocation. `says`: what is found is said on stderr.
  void FollowRhythm(bool says);
  RhythmStats rhythm_stats() const;

  absl::Status StartProfile();
  absl::Status AddLayer(absl::string_view name);
  absl::Status EndProfile();
  absl::Status BeginStep();
  absl::Status EndStep();

  absl::Status Pin(const void* pointer, Bytes bytes);
  absl::Status Unpin(const void* pointer, Bytes bytes);
  absl::Status Prefetch(const void* pointer, Bytes bytes);
  // In a profiled step, what an operator is said to touch; the step checks it.
  absl::Status Touch(const void* pointer, Bytes bytes, bool writes = false);
  profile::OperatorCheck::Result operator_check() const { return recorder_->operator_check(); }
  const char* profiler_name() const { return gate_->name(); }
  absl::Status SetBudget(Bytes budget);
  // The fast budget now. Any thread, and signal handlers.
  Bytes budget() const { return Bytes(budget_.load(std::memory_order_relaxed)); }

  RuntimeStats Stats() const;
  // The driving thread's alone, which may replace it at each mark. nullptr before the first profiled step has ended.
  const Shape* current_shape() const { return shapes_.empty() ? nullptr : shapes_[active_].get(); }
  // What of it can be saved, for any thread.
  std::optional<ShapeCopy> CopyShape() const;
  RunRecord Record() const;
  const Settings& settings() const { return settings_; }
  std::string DescribeTier() const { return tier_->Describe(); }
  const plan::Machine& machine() const { return machine_; }

  // For fork_guard.
  void PrepareFork();
  void AfterForkInParent();
  void AfterForkInChild();
  void Thaw() { residency_->Thaw(); }

 private:
  enum class Phase : uint8_t { kDemand, kProfiling, kPlaced };
  // A rhythm of a program that marks no steps.
  struct RhythmicShape {
    int32_t rhythm;
    uint64_t sequence_hash;  // of its shape; 0: no plan could be made, it runs by demand
    Judge judge;             // by plan or by demand
  };

  explicit Runtime(const Settings& settings) : settings_(settings) {}
  absl::Status Open();
  absl::Status MeasureLink();
  absl::Status TakeGivenPlan();
  absl::StatusOr<std::unique_ptr<Shape>> ShapeOfGivenPlan();
  absl::StatusOr<std::unique_ptr<Shape>> ShapeOfGivenProfile();
  absl::Status AwaitFrames(int64_t frames);
  bool EnoughToPlanWith(Bytes budget) const;
  void SayByDemand() const;

  bool OnDrivingThread() const { return driver_.load(std::memory_order_relaxed) == ThreadMark(); }
  static const void* ThreadMark();
  void* AllocateAnywhere(Bytes bytes, Bytes alignment, bool own_pages, uint64_t* serial);
  void* Secured(void* pointer, Bytes bytes);
  void ReportTrouble(const absl::Status& trouble);
  void RecordAllocation(const Identity& identity, void* pointer, Bytes bytes, uint64_t serial);
  void* AllocateMatched(Bytes bytes, uint64_t* serial, Identity* identity);
  void TryAnotherShape(const Identity& failed);

  // unmarked.cc
  void* AllocateInRhythm(Bytes bytes, Bytes alignment, const void* call_site);
  void FreedInRhythm(const arena::Allocation& freed);
  Cue OnRhythmEventLocked(const RhythmEvent& event);
  void BeginRhythmicStepLocked(int32_t rhythm);
  void EndRhythmicStepLocked();
  RhythmicShape* FindRhythmicShape(int32_t rhythm);
  void AbandonStepLocked();
  void StopFollowingLocked();
  void JudgeStepLocked(int64_t now);
  void SayGivenPlanIsNotUsed();
  void SayRhythm();
  void SayWay(const Judge& judge);

  bool GivenPlanStands() const;
  void TrustGivenPlan();
  void CheckGivenPlan();
  void CallOffOwedProfile();
  bool OwedProfileIsWhole() const;
  void JudgeTail();
  bool EndsWithThisLayer() const;
  bool WarmsUp(const Shape& shape) const;
  bool Drifted() const;
  bool ProfileIsDue() const;
  void NoteMismatch(const Identity& identity);
  void BeginLocked(bool profile, size_t shape);
  absl::Status EndLocked();
  void FinishLayer();
  absl::Status NextLayerLocked(absl::string_view name);
  void SplitLayer(Bytes bytes);
  absl::Status EnterLayer();
  void StartRecorder();
  absl::Status FinishProfile();
  // Where steps are not marked, what comes before the first add_layer of a step belongs to the layer after its last.
  static void JoinHeadAndTail(profile::Profile* profile);
  void Activate(size_t index, int32_t layer);
  void ReportFloor(const profile::Profile& profile);
  void CountShapes();
  void RecordStep(bool profiled, double seconds);
  void StartRecordingIfDue();
  void RecordLayer(int64_t now, int64_t exposed);

  // replan.cc
  struct PlanWish {
    int planner = 0;
    double link_pace = 1;                            // the link's speed over what was measured at the start
    const plan::MigrationPlan* layout_of = nullptr;  // places to keep
    bool given = false;                              // the profile is of another run, whose arena may lie differently
  };
  static PlanTimes TimesOf(const Shape& shape);
  Bytes PlanBudget() const;
  absl::StatusOr<plan::MigrationPlan> MakePlan(const profile::Profile& profile, const PlanWish& wish);
  void WatchTimes(Shape& shape) const;
  void CountLastLayer();
  void FinishPlacedStep(double seconds);
  absl::Status Replan(Shape& shape);
  bool MayProfileUnmarked();
  double LinkPace() const;
  void FollowTimes(Shape& shape, double seconds);
  void PlanForMeasured(Shape& shape);

  const Settings settings_;
  const Clock& clock_ = MonotonicClock();
  std::unique_ptr<tier::BlockTier> tier_;
  std::unique_ptr<os::Memory> watched_memory_;  // nullptr: os::RealMemory
  std::unique_ptr<arena::AccessGate> gate_;
  std::unique_ptr<arena::Residency> residency_;
  std::unique_ptr<arena::Allocator> allocator_;
  std::unique_ptr<migrate::Mover> mover_;
  std::unique_ptr<StepRecorder> recorder_;
  std::vector<std::unique_ptr<plan::Planner>> planners_;  // a Shape's trial chooses; none: by demand only
  bool plans_ = false;                                    // the budget was once large enough to plan with
  plan::Machine machine_;

  std::atomic<Phase> phase_{Phase::kDemand};
  std::atomic<const void*> driver_{nullptr};
  std::atomic<int64_t> matched_{0}, mismatched_{0};
  std::atomic<int64_t> budget_{0};                         // bytes
  std::atomic<int64_t> shape_bytes_{0}, record_bytes_{0};  // kept by the driving thread, read by anyone

  // The driving thread's, under marks_lock_ where marks are concerned.
  mutable os::FutexLock marks_lock_;
  std::atomic<bool> in_step_{false};
  std::atomic<bool> explicit_steps_{false};  // begin_step and end_step are used
  bool profile_asked_ = false;               // between start_profile and end_profile
  bool profile_next_ = false;                // drift: the next step is to be profiled
  StrangeSteps strange_;
  bool reported_floor_ = false;
  // Between start_profile and end_profile, when a given plan does instead of the profile and steps are not marked.
  struct {
    bool open = false;
    int64_t steps = 0;   // when start_profile was called
    int32_t layers = 0;  // that were added since
  } trust_;
  int32_t owed_layers_ = 0;  // of the step that is profiled next though nothing marks it; 0: none is
  // With the hooks alone: steps that drifted since the last profile for it, and how many make the next one.
  int64_t drifted_steps_ = 0, drifts_for_profile_ = 1;
  std::atomic<int32_t> layer_{0};
  int32_t ordinal_ = 0;
  std::string layer_name_;
  int64_t position_ = 0;  // of layer 0 of this step in the endless sequence of layers
  std::atomic<int64_t> steps_{0}, replans_{0}, profiles_{0};  // changed under the lock, read by anyone
  int64_t step_began_ = 0, layer_began_ = 0, layer_exposed_ = 0;
  int64_t step_mismatched_ = 0, step_matched_ = 0;
  bool step_drifted_ = false;  // as it was judged at its end
  Identity first_unknown_;     // of the step, where any is
  std::vector<Identity> step_log_;
  std::vector<double> step_layer_seconds_;
  std::vector<std::unique_ptr<Shape>> shapes_;
  std::atomic<size_t> active_{0};  // changed by the driving thread alone
  std::atomic<bool> plan_running_{false};
  bool plan_changed_ = false;  // the active shape's; the mover learns of it when the next step begins
  bool recording_ = false;
  bool in_forked_child_ = false;  // placement is off here
  std::atomic<uint32_t> settling_{0};
  migrate::MoverStats step_mover_stats_;
  int64_t step_exposed_ = 0;
  double planning_seconds_ = 0;  // that the last plan took to make
  bool record_next_ = false;
  migrate::MoverStats layer_mover_stats_;
  RunRecord record_;

  // Programs that mark no steps.
  std::atomic<bool> follows_rhythm_{false};
  std::unique_ptr<RhythmFollower> follower_;
  std::vector<RhythmicShape> rhythmic_shapes_;
  int32_t step_rhythm_ = -1;  // of the step that runs
  int64_t rhythm_began_ = 0;  // when it began, by plan or by demand; 0: out of rhythm
  bool says_rhythm_ = false;
  bool said_plan_not_used_ = false;
  RhythmStats rhythm_stats_;
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_RUNTIME_H_

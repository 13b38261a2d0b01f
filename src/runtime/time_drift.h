// TimeDrift: whether the steps of a shape still take what its plan was made for, and when to plan again as they don't.
// It decides; the runtime measures, plans and runs.
//
// Steps are looked at five by five, by their medians. Another plan is wanted where both hold: the step's computing or
// its waits are off what the plan expects, by a share of the step that matters; and what plans are made from, the
// layers' times and the speed of the link, is no longer what the last one was made from (from the same a planner makes
// the same). That plan is then tried against the one before, which comes back where it is measurably faster.
//
// What this costs is bounded, however the times jump: each pause until the next plan is twice as long as the last, so
// that n steps see no more than log2(n) of them, and a plan must wait until a hundredth of the time since the last one
// pays for it. Thread safety: none of its own. Ownership: by value.
#ifndef THERMOCLINE_RUNTIME_TIME_DRIFT_H_
#define THERMOCLINE_RUNTIME_TIME_DRIFT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/base/units.h"
#include "src/runtime/trial.h"

namespace thermocline::runtime {

// What of a plan's input changes with time.
struct PlanTimes {
  std::vector<double> layer_seconds;  // without waits
  double link_pace = 1;               // the link's speed over that of the machine's description
};

// A step that ran by the plan.
struct StepTimes {
  double seconds = 0;
  double exposed_seconds = 0;
  // Without waits. Where steps are not marked the last layer's is missing, as that is not over yet.
  absl::Span<const double> layer_seconds;
  double link_pace = 0;  // 0: too little was moved to tell
};

// The median of what the steps saw of the link's pace; `otherwise` where half of them or more were too idle to tell.
double SeenPace(std::vector<double> paces, double otherwise);

class TimeDrift {
 public:
  static constexpr int64_t kWindow = 5;           // steps that are looked at together
  static constexpr double kMatters = 0.1;         // share of a step by which it may be off the plan
  static constexpr double kTolerance = 0.25;      // layers' times and speeds within it are the same
  static constexpr int64_t kFirstPause = 16;      // steps from one plan to the next, at least; doubled each time
  static constexpr double kPlanningShare = 0.01;  // of the time, that planning may take
  static constexpr double kSlower = 1.05;         // measurably slower means so many times

  enum class Action : uint8_t {
    kNone,
    kPlan,      // plan from measured()
    kTakeBack,  // the plan before the last is to run again
  };

  // From the next step on a plan runs that was made from this in so much time. `exposed`: the waits that it expects
  // before each layer. `tried`: OnStep has wanted it, and it must do better than the one before.
  void OnPlan(PlanTimes from, std::vector<double> exposed, double planning_seconds, bool tried);
  // A step ran by the last plan, or by the one that was taken back. Before the first OnPlan nothing is wanted.
  Action OnStep(const StepTimes& step);

  // The last plan has yet to show that it is not slower than the one before.
  bool trying() const { return !trial_.decided(); }
  const PlanTimes& measured() const { return measured_; }
  Bytes HeapBytes() const;

 private:
  bool Comparable(const StepTimes& step) const;
  PlanTimes Measure() const;
  bool OffThePlan() const;
  bool OfOtherTimes(const PlanTimes& now) const;
  std::vector<double> Of(double StepTimes::*member) const;
  size_t layers() const { return window_layers_[0].size(); }  // of the steps that are looked at

  // The latest steps, up to kWindow; their layers apart, in memory that is kept.
  std::vector<StepTimes> window_;
  std::vector<std::vector<double>> window_layers_;

  PlanTimes from_;  // the last plan's, also when it was taken back
  std::vector<double> exposed_, exposed_before_;
  PlanTimes measured_;
  double step_seconds_ = 0;
  Trial trial_;              // of the plan before and the last one
  int64_t steps_since_ = 0;  // a plan was wanted
  int64_t pause_ = 0;
  double seconds_since_ = 0;  // a plan was made
  double planning_seconds_ = 0;
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_TIME_DRIFT_H_

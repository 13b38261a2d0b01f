#include "src/runtime/time_drift.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "src/base/median.h"
#include "src/runtime/shortest_layer.h"

namespace thermocline::runtime {
namespace {

double Sum(const std::vector<double>& values, size_t count) {
  return std::accumulate(values.begin(), values.begin() + std::min(count, values.size()), 0.0);
}

}  // namespace

double SeenPace(std::vector<double> paces, double otherwise) {
  const size_t steps = paces.size();
  std::erase(paces, 0);
  return 2 * paces.size() > steps ? Median(std::move(paces)) : otherwise;
}

void TimeDrift::OnPlan(PlanTimes from, std::vector<double> exposed, double planning_seconds, bool tried) {
  from_ = std::move(from);
  exposed_before_ = std::exchange(exposed_, std::move(exposed));
  planning_seconds_ = planning_seconds;
  seconds_since_ = 0;
  window_.clear();
  // Of two that are about as fast the new one stays: it was made for what is now.
  trial_ = tried ? Trial::After(step_seconds_ * kSlower, kWindow) : Trial();
}

TimeDrift::Action TimeDrift::OnStep(const StepTimes& step) {
  ++steps_since_;
  seconds_since_ += step.seconds;
  if (!trial_.decided()) {
    if (!trial_.OnStep(step.seconds)) return Action::kNone;
    exposed_ = std::move(exposed_before_);
    return Action::kTakeBack;
  }
  if (!Comparable(step)) return Action::kNone;
  window_layers_.resize(kWindow);
  window_layers_[window_.size()].assign(step.layer_seconds.begin(), step.layer_seconds.end());
  window_.push_back({step.seconds, step.exposed_seconds, {}, step.link_pace});
  if (window_.size() < kWindow) return Action::kNone;
  const bool rested = steps_since_ >= pause_ && planning_seconds_ <= kPlanningShare * seconds_since_;
  bool wanted = false;
  if (rested && OffThePlan()) {
    measured_ = Measure();
    wanted = OfOtherTimes(measured_);
    step_seconds_ = Median(Of(&StepTimes::seconds));
  }
  window_.clear();
  if (!wanted) return Action::kNone;
  pause_ = std::max(kFirstPause, pause_ * 2);
  steps_since_ = 0;
  return Action::kPlan;
}

// With the plan's layers, all or all but the last.
bool TimeDrift::Comparable(const StepTimes& step) const {
  const size_t planned = from_.layer_seconds.size(), seen = step.layer_seconds.size();
  return seen > 0 && (seen == planned || seen + 1 == planned) && (window_.empty() || seen == layers());
}

std::vector<double> TimeDrift::Of(double StepTimes::*member) const {
  std::vector<double> values;
  for (const StepTimes& step : window_) values.push_back(step.*member);
  return values;
}

bool TimeDrift::OffThePlan() const {
  const double compute = Sum(from_.layer_seconds, layers());
  const double exposed = Sum(exposed_, exposed_.size());  // a step waits for its last layer before that begins
  const double seen_exposed = Median(Of(&StepTimes::exposed_seconds));
  const double seen_compute = Median(Of(&StepTimes::seconds)) - seen_exposed;
  const double allowed = kMatters * (compute + exposed);
  return std::abs(seen_compute - compute) > allowed || std::abs(seen_exposed - exposed) > allowed;
}

// What can't be told stays as it was.
PlanTimes TimeDrift::Measure() const {
  PlanTimes now = from_;
  std::vector<double> values(kWindow);
  for (size_t layer = 0; layer < layers(); ++layer) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = window_layers_[i][layer];
    now.layer_seconds[layer] = std::max(kShortestLayer, Median(values));
  }
  now.link_pace = SeenPace(Of(&StepTimes::link_pace), from_.link_pace);
  return now;
}

bool TimeDrift::OfOtherTimes(const PlanTimes& now) const {
  double difference = 0;
  for (size_t layer = 0; layer < layers(); ++layer) {
    difference += std::abs(now.layer_seconds[layer] - from_.layer_seconds[layer]);
  }
  if (difference > kTolerance * Sum(from_.layer_seconds, layers())) return true;
  const double pace = now.link_pace / from_.link_pace;
  return pace > 1 + kTolerance || pace < 1 / (1 + kTolerance);
}

Bytes TimeDrift::HeapBytes() const {
  size_t doubles = from_.layer_seconds.capacity() + measured_.layer_seconds.capacity() + exposed_.capacity() +
                   exposed_before_.capacity();
  for (const std::vector<double>& layers : window_layers_) doubles += layers.capacity();
  return Bytes(static_cast<int64_t>(doubles * sizeof(double) + window_.capacity() * sizeof(StepTimes)));
}

}  // namespace thermocline::runtime

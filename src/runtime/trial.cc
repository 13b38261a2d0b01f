#include "src/runtime/trial.h"

#include <algorithm>

#include "src/base/median.h"

namespace thermocline::runtime {

Trial Trial::After(double first_seconds, int timed) {
  Trial trial(2, timed);
  trial.seconds_ = {first_seconds};
  trial.current_ = 1;
  return trial;
}

bool Trial::OnStep(double seconds) {
  if (decided_) return false;
  if (!settled_) {
    settled_ = true;
    return false;
  }
  running_.push_back(seconds);
  if (static_cast<int>(running_.size()) < timed_) return false;
  settled_ = false;
  seconds_.push_back(Median(running_));
  running_.clear();
  const int before = current_;
  if (static_cast<int>(seconds_.size()) < candidates_) {
    ++current_;
  } else {
    current_ = static_cast<int>(std::min_element(seconds_.begin(), seconds_.end()) - seconds_.begin());
    decided_ = true;
  }
  return current_ != before;
}

}  // namespace thermocline::runtime

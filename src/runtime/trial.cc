#include "src/runtime/trial.h"

#include <algorithm>

namespace thermocline::runtime {

bool Trial::OnStep(double seconds) {
  if (decided_) return false;
  if (!settled_) {
    settled_ = true;
    return false;
  }
  settled_ = false;
  seconds_.push_back(seconds);
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

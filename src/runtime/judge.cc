#include "src/runtime/judge.h"

#include <algorithm>

namespace thermocline::runtime {

bool Judge::OnStep(double seconds) {
  if (++steps_ <= kSettling) return false;
  mean_seconds_ += (seconds - mean_seconds_) / static_cast<double>(steps_ - kSettling);
  const bool slower = other_seconds_ > 0 && seconds > other_seconds_ * kMargin;
  slower_in_row_ = slower ? slower_in_row_ + 1 : 0;
  slower_seconds_ = slower ? slower_seconds_ + seconds : 0;
  if (slower_in_row_ == kInARow) {
    mean_seconds_ = slower_seconds_ / kInARow;
    Change();
    return true;
  }
  if (way_ == Way::kDemand && steps_ - kSettling >= retry_after_) {
    retry_after_ = std::min(retry_after_ * 2, kLongestRetry);
    Change();
    return true;
  }
  return false;
}

void Judge::Change() {
  way_ = way_ == Way::kPlanned ? Way::kDemand : Way::kPlanned;
  other_seconds_ = mean_seconds_;
  steps_ = slower_in_row_ = 0;
  slower_seconds_ = mean_seconds_ = 0;
}

}  // namespace thermocline::runtime

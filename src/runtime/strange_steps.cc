#include "src/runtime/strange_steps.h"

#include <algorithm>

namespace thermocline::runtime {

bool StrangeSteps::OnStrange(int64_t step, const Identity& first_unknown) {
  const auto known =
      std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& kind) { return kind.first_unknown == first_unknown; });
  if (known == kinds_.end()) {
    if (kinds_.size() == kMostKinds) kinds_.erase(kinds_.begin());
    kinds_.push_back({first_unknown, step});
    return true;
  }
  known->due = step + (step - known->last);
  known->last = step;
  return false;
}

bool StrangeSteps::IsDue(int64_t step) const {
  return std::any_of(kinds_.begin(), kinds_.end(), [step](const Kind& kind) { return kind.due == step; });
}

}  // namespace thermocline::runtime

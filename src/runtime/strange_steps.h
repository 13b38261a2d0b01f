// StrangeSteps: steps that fitted no plan, and when one of their kind is to be profiled. The kind that comes in a row
// is: the next step. One that comes alone, as the last smaller batch of an epoch does, is over by then; two of it tell
// how far apart they are, and so which step is the third.
//
// Thread safety: none. Ownership: by value.
#ifndef THERMOCLINE_RUNTIME_STRANGE_STEPS_H_
#define THERMOCLINE_RUNTIME_STRANGE_STEPS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "src/runtime/shape_book.h"

namespace thermocline::runtime {

class StrangeSteps {
 public:
  // So many kinds are remembered, the latest.
  static constexpr size_t kMostKinds = 8;

  // The step fitted no plan; the first allocation that its plan did not know tells its kind. True: profile the next
  // one.
  bool OnStrange(int64_t step, const Identity& first_unknown);
  // One of them is to be expected as this step.
  bool IsDue(int64_t step) const;

 private:
  struct Kind {
    Identity first_unknown;
    int64_t last = 0;
    int64_t due = -1;
  };
  std::vector<Kind> kinds_;
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_STRANGE_STEPS_H_

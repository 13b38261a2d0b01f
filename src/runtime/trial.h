// Trial: which of several plans for the same step is the fastest, found by running each of them in real steps (the test
// and trial of Ren et al., Sentinel, HPCA 2021). It decides; the runtime plans and runs.
//
// Each candidate gets two steps: in the first what the one before had left in fast memory gives way, the second is
// timed. Then the fastest stays, of equals the first. Thread safety: none of its own. Ownership: by value.
#ifndef THERMOCLINE_RUNTIME_TRIAL_H_
#define THERMOCLINE_RUNTIME_TRIAL_H_

#include <vector>

namespace thermocline::runtime {

class Trial {
 public:
  explicit Trial(int candidates = 1) : candidates_(candidates), decided_(candidates <= 1) {}

  // The candidate that steps are to run.
  int current() const { return current_; }
  bool decided() const { return decided_; }

  // A step ran the current candidate and took so long. True when the next one is to run another.
  bool OnStep(double seconds);

 private:
  int candidates_;
  bool decided_;
  bool settled_ = false;
  int current_ = 0;
  std::vector<double> seconds_;  // of the candidates that have been timed
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_TRIAL_H_

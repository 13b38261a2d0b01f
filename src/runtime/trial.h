// Trial: which of several plans for the same step is the fastest, found by running each of them in real steps (the test
// and trial of Ren et al., Sentinel, HPCA 2021). It decides; the runtime plans and runs.
//
// Each candidate gets one step that doesn't count, in which what the one before had left in fast memory gives way, and
// then one or more that are timed. Then the fastest by their median stays, of equals the first. Thread safety: none of
// its own. Ownership: by value.
#ifndef THERMOCLINE_RUNTIME_TRIAL_H_
#define THERMOCLINE_RUNTIME_TRIAL_H_

#include <vector>

namespace thermocline::runtime {

class Trial {
 public:
  // `timed`: steps of each candidate.
  explicit Trial(int candidates = 1, int timed = 1)
      : candidates_(candidates), timed_(timed), decided_(candidates <= 1) {}
  // Of two candidates of which the first has run already, and took so long a step.
  static Trial After(double first_seconds, int timed);

  // The candidate that steps are to run.
  int current() const { return current_; }
  bool decided() const { return decided_; }

  // A step ran the current candidate and took so long. True when the next one is to run another.
  bool OnStep(double seconds);

 private:
  int candidates_;
  int timed_;
  bool decided_;
  bool settled_ = false;
  int current_ = 0;
  std::vector<double> running_;  // of the current candidate's timed steps
  std::vector<double> seconds_;  // of the candidates that have been timed
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_TRIAL_H_

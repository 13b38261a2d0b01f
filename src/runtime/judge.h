// Judge: whether the steps of a rhythm go on by plan or by demand. By plan at first; when that turns out slower than by
// demand was, by demand; and back when that is slower, or after a while, as the times of a machine change.
//
// Hysteresis: several steps in a row must be slower by a margin, those after a change don't count, and each return to
// the plan that failed makes the next one wait longer. It decides; the runtime acts.
// Thread safety: none of its own. Ownership: by value.
#ifndef THERMOCLINE_RUNTIME_JUDGE_H_
#define THERMOCLINE_RUNTIME_JUDGE_H_

#include <cstdint>

namespace thermocline::runtime {

enum class Way : uint8_t { kPlanned, kDemand };

class Judge {
 public:
  static constexpr double kMargin = 1.1;   // slower means so many times
  static constexpr int64_t kInARow = 4;    // such steps
  static constexpr int64_t kSettling = 2;  // steps after a change that don't count; the first plan is made again then
  static constexpr int64_t kFirstRetry = 32;  // steps by demand until the plan has another try; doubled each time
  static constexpr int64_t kLongestRetry = 4096;

  // `demand_seconds`: of a step by demand, before there was a plan. 0: not known, so nothing is slower.
  explicit Judge(double demand_seconds = 0) : other_seconds_(demand_seconds) {}

  Way way() const { return way_; }
  // Seconds of a step the other way, as far as known.
  double other_seconds() const { return other_seconds_; }

  // A step went the present way and took so long. True when the next one goes the other way.
  bool OnStep(double seconds);

 private:
  void Change();

  Way way_ = Way::kPlanned;
  double other_seconds_;
  int64_t steps_ = 0;  // this way, since the last change
  int64_t slower_in_row_ = 0;
  double slower_seconds_ = 0;  // sum over them
  double mean_seconds_ = 0;    // of this way's steps that counted
  int64_t retry_after_ = kFirstRetry;
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_JUDGE_H_

// Residency: chooses which gaps give up their frame, so that every layer fits the frames that there are.
//
// Starts from everything resident and goes through the step in its order; wherever a layer is over its cap, the gap
// that reaches farthest gives way (Belady's rule), dead gaps first, clean ones before dirty ones of similar reach. What
// turns out not to be needed is taken back. Thread safety: a Residency belongs to one thread.
#ifndef THERMOCLINE_PLAN_RESIDENCY_H_
#define THERMOCLINE_PLAN_RESIDENCY_H_

#include <cstdint>
#include <vector>

#include "src/plan/gaps.h"

namespace thermocline::plan {

struct ResidencyOptions {
  double clean_bonus = 0.1;  // a clean gap counts as this share of a step longer
};

class Residency {
 public:
  // `caps` holds the frames for each layer. Every gap's free_from and free_to must be set.
  Residency(int32_t granules, std::vector<int32_t> caps, std::vector<Gap>* gaps, ResidencyOptions options);

  // Evicts gaps until every layer fits, or nothing more can give way. Returns the number newly evicted.
  int64_t EvictUntilFits();
  // Makes every layer fit though the link is too slow to hide it: fetches are put off, then further gaps give way, with
  // the waits that this costs. Always succeeds when no layer needs more than its cap by itself.
  void ForceFit();
  // Takes back evictions that no layer needs.
  void TakeBack();
  // Recounts after the caller has changed `evicted` or the free stretches of gaps.
  void Recount();

  // Frames held in each layer, and by how many the worst layer is over its cap.
  const std::vector<int32_t>& held() const { return held_; }
  int32_t Excess() const;

 private:
  void Add(const Gap& gap, int32_t change);
  void Evict(Gap* gap);
  bool ForceFitLayer(int64_t layer);
  void Widen(int64_t position, Gap* gap);
  bool Fits(const Gap& gap) const;
  bool FollowsEvictedLife(int32_t i) const;
  int64_t StartLayer() const;

  int32_t granules_;
  std::vector<int32_t> caps_;
  std::vector<Gap>* gaps_;
  ResidencyOptions options_;
  std::vector<int32_t> held_;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_RESIDENCY_H_

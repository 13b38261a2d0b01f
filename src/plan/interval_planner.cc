#include "src/plan/interval_planner.h"

#include <algorithm>

#include "src/plan/gaps.h"
#include "src/plan/interval_simulation.h"
#include "src/plan/layout.h"
#include "src/plan/plan_parts.h"

namespace thermocline::plan {
namespace {

// After so many lengths in a row that don't fit the fast memory, longer ones aren't tried.
constexpr int kGiveUpAfter = 16;

// The granules outside of the short-lived region.
GranuleTimeline Migratable(const GranuleTimeline& timeline, int64_t region_begin, int64_t region_end) {
  GranuleTimeline result;
  result.layers = timeline.layers;
  for (const GranuleLife& life : timeline.granules) {
    const int64_t id = life.granule.value();
    if (id < region_begin || id >= region_end) result.granules.push_back(life);
  }
  return result;
}

// Granules that each interval uses, and of those the ones that have to be fetched for it: they hold content, and the
// interval before doesn't use them.
struct IntervalSums {
  std::vector<int64_t> used;
  std::vector<int64_t> fetched;
};

IntervalSums SumIntervals(const GranuleTimeline& timeline, int interval_layers) {
  const int intervals = (timeline.layers + interval_layers - 1) / interval_layers;
  IntervalSums sums{std::vector<int64_t>(intervals, 0), std::vector<int64_t>(intervals, 0)};
  for (const GranuleLife& life : timeline.granules) {
    if (life.uses.empty()) continue;
    const int last = life.uses.back().layer / interval_layers;
    int previous = last == intervals - 1 ? -1 : -2;  // the interval used before this one, counted on from a step ago
    for (size_t i = 0; i < life.uses.size(); ++i) {
      const int interval = life.uses[i].layer / interval_layers;
      if (interval == previous && i > 0) continue;
      ++sums.used[interval];
      if (life.uses[i].needs_content && previous != interval - 1) ++sums.fetched[interval];
      previous = interval;
    }
  }
  return sums;
}

}  // namespace

std::vector<IntervalScore> ScoreIntervals(const GranuleTimeline& migratable, const std::vector<double>& layer_seconds,
                                          Bytes granule, Bytes room, BytesPerSecond rate) {
  std::vector<IntervalScore> scores;
  int misfits = 0;
  for (int mil = 1; mil <= migratable.layers && misfits < kGiveUpAfter; ++mil) {
    const IntervalSums sums = SumIntervals(migratable, mil);
    const int intervals = static_cast<int>(sums.used.size());
    IntervalScore score;
    score.interval_layers = mil;
    score.largest = granule * *std::max_element(sums.used.begin(), sums.used.end());
    score.fits_space = score.largest <= room;
    score.fits_time = true;
    for (int k = 0; k < intervals; ++k) {
      // Fetched while the interval before runs.
      const int before = (k + intervals - 1) % intervals;
      double seconds = 0;
      for (int l = before * mil; l < std::min((before + 1) * mil, migratable.layers); ++l) seconds += layer_seconds[l];
      const double transfer = intervals == 1 ? 0 : SecondsFor(granule * sums.fetched[k], rate);
      score.fits_time &= transfer <= seconds;
      score.exposed_seconds += std::max(0.0, transfer - seconds);
    }
    misfits = score.fits_space ? 0 : misfits + 1;
    scores.push_back(score);
  }
  return scores;
}

IntervalScore ChooseInterval(const std::vector<IntervalScore>& scores) {
  const auto better = [](const IntervalScore& a, const IntervalScore& b) {
    if (a.fits_space != b.fits_space) return a.fits_space;
    if (!a.fits_space && a.largest != b.largest) return a.largest < b.largest;
    if (a.fits_time != b.fits_time) return a.fits_time;
    if (a.exposed_seconds != b.exposed_seconds) return a.exposed_seconds < b.exposed_seconds;
    return a.interval_layers > b.interval_layers;
  };
  return *std::min_element(scores.begin(), scores.end(), better);
}

absl::StatusOr<MigrationPlan> IntervalPlanner::Plan(const PlannerInput& input) const {
  if (absl::Status status = CheckInput(input); !status.ok()) return status;
  const absl::StatusOr<Layout> layout = LayoutFor(input);
  if (!layout.ok()) return layout.status();
  MigrationPlan plan = StartPlan(name(), input, *layout);
  GranuleTimeline timeline = MakeTimeline(*input.profile, layout->offsets, input.granule_bytes);
  const int64_t frames = FramesOf(input);
  TrimToBudget(frames, &timeline);

  const int64_t region_begin = layout->short_lived_begin / input.granule_bytes.count();
  const int64_t region = RoundUp(layout->short_lived_bytes, input.granule_bytes) / input.granule_bytes;
  const TierSpec& tier = input.machine.slow.front();
  const std::vector<IntervalScore> scores =
      ScoreIntervals(Migratable(timeline, region_begin, region_begin + region), LayerSeconds(*input.profile),
                     input.granule_bytes, input.granule_bytes * std::max<int64_t>(frames - region, 0), tier.in);
  const int chosen = options_.interval_layers > 0 ? options_.interval_layers : ChooseInterval(scores).interval_layers;
  plan.interval_layers = std::min(chosen, static_cast<int>(timeline.layers));

  IntervalSimulationOptions options;
  options.interval_layers = plan.interval_layers;
  options.frames = frames;
  options.region_begin = region_begin;
  options.region_end = region_begin + region;
  plan.waits = options_.end_of_interval == EndOfInterval::kWait;
  options.use_in_place = options_.end_of_interval == EndOfInterval::kUseInPlace;
  SimulateIntervals(timeline, options, &plan);
  if (absl::Status status = Predict(input, &plan); !status.ok()) return status;
  return plan;
}

}  // namespace thermocline::plan

// Gaps: the stretches between two uses of a granule in which its frame could serve another one. What a planner that
// knows the future chooses from.
//
// Positions are layers counted on: a gap that begins in layer 7 of 10 and ends in layer 2 of the next step goes from 7
// to 12. Thread safety: pure functions over plain data.
#ifndef THERMOCLINE_PLAN_GAPS_H_
#define THERMOCLINE_PLAN_GAPS_H_

#include <cstdint>
#include <vector>

#include "src/plan/granule_timeline.h"

namespace thermocline::plan {

enum class GapKind : uint8_t {
  kDead,         // no live content: leaving costs nothing
  kLiveToDeath,  // live content that nobody reads again: leaving costs a write, coming back nothing
  kLive,         // live content that the next use needs: leaving costs a write unless clean, and a read
};

struct Gap {
  int32_t granule = 0;  // index into the timeline
  int32_t use = 0;      // index of the use that it follows
  GapKind kind = GapKind::kDead;
  int32_t begin = 0;        // position of the last layer that still needs the frame
  int32_t end = 0;          // position of the next layer that needs it: free in between, at most
  int32_t last_write = 0;   // position of the last write before it (<= begin); only for live gaps
  bool forced = false;      // must be given up: a layer below the floor leaves no room
  bool late_write = false;  // its write-back waits for the last read, not only for the last write

  // The position at whose start its write-back may begin; only for live gaps.
  int32_t WriteFrom() const { return (late_write ? begin : last_write) + 1; }

  // The planner's decision, and the layers [free_from, free_to] in which the frame is then free for others.
  bool evicted = false;
  bool banned = false;  // the link is too slow to use it
  int32_t free_from = 0;
  int32_t free_to = -1;
  // The layer that its write-back is put off to, so that what is more urgent goes first.
  static constexpr int32_t kAtOnce = INT32_MIN;
  int32_t write_at = kAtOnce;
};

// The gaps of every granule, ordered by granule and position. A granule that is never touched has one gap of a whole
// step.
std::vector<Gap> MakeGaps(const GranuleTimeline& timeline);

// Lets write-backs wait for the last read where reads end soon after the last write. `starts`: as StartTimes.
void DelayWrites(const std::vector<double>& starts, std::vector<Gap>* gaps);

// Frames that layer l needs all by itself, for each l.
std::vector<int32_t> NeededFrames(const GranuleTimeline& timeline);

// Takes uses out of layers that need more than `frames`, the granules that are used in the fewest layers first: what
// remains can be planned, the rest comes by demand. Returns the number of uses taken out.
int64_t TrimToBudget(int64_t frames, GranuleTimeline* timeline);

// When each layer starts, in seconds from the step's start; one more entry for the step's end.
std::vector<double> StartTimes(const std::vector<double>& layer_seconds);
// Seconds at which the layer at a position starts. `starts`: as StartTimes.
double PositionStart(const std::vector<double>& starts, int64_t position);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_GAPS_H_

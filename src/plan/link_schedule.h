// LinkSchedule: when the transfers of a set of evicted gaps happen on the link, in a step that never waits.
//
// Fetches are laid backwards from their deadlines, as late as the link allows; write-backs forward from the last write,
// as early as the link allows. Half duplex: write-backs use the time that fetches leave.
// Thread safety: pure function.
#ifndef THERMOCLINE_PLAN_LINK_SCHEDULE_H_
#define THERMOCLINE_PLAN_LINK_SCHEDULE_H_

#include <vector>

#include "src/plan/gaps.h"
#include "src/plan/migration_plan.h"

namespace thermocline::plan {

struct LinkModel {
  double in_seconds = 0;   // one granule, slow to fast
  double out_seconds = 0;  // one granule, fast to slow
  double latency_seconds = 0;
  bool full_duplex = false;
  double guard_seconds = 0;  // fetches end this much before their deadlines
  double stretch = 1;        // transfers are taken to last this many times longer
};

// One of the gaps that are evicted now: a write-back, a fetch, or both, with the seconds in which they run. Positions'
// times go on over the step's end: layer n + 3 starts one step's time after layer 3.
struct Transfers {
  int32_t gap = 0;  // index into the gaps
  bool writes = false;
  bool fetches = false;
  double write_end = 0;
  double fetch_start = 0;
};

// The transfers of all evicted gaps, without times. REQUIRES: gaps in the order of MakeGaps.
std::vector<Transfers> CollectTransfers(const std::vector<Gap>& gaps, int32_t layers);

// Schedules the transfers of all evicted gaps. A gap writes back when its granule was written since the last evicted
// gap of the same granule.
std::vector<Transfers> ScheduleLink(const std::vector<Gap>& gaps, const std::vector<double>& starts,
                                    const LinkModel& link);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_LINK_SCHEDULE_H_

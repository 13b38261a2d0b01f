// Lanes: which migrations overlap in time, so that each can be drawn as a bar that hides no other.
//
// Thread safety: pure function.
#ifndef THERMOCLINE_REPORT_LANES_H_
#define THERMOCLINE_REPORT_LANES_H_

#include <vector>

#include "src/report/run_log.h"

namespace thermocline::report {

struct Lanes {
  std::vector<int> lane;  // one a migration, in the log's order; each direction counts from 0
  int in = 0;             // lanes that each direction needs: the most that were on their way at the same time
  int out = 0;
};
Lanes AssignLanes(const std::vector<Migration>& migrations);

}  // namespace thermocline::report

#endif  // THERMOCLINE_REPORT_LANES_H_

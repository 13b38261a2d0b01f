// What the disk under the slow tier gives: measured beside every table, since the figures mean nothing without it.
//
// Thread safety: uses threads of its own. Leaves no file behind. Errors: zeros where it can't be measured.
#ifndef THERMOCLINE_EXAMPLES_DEMO_DISK_SPEED_H_
#define THERMOCLINE_EXAMPLES_DEMO_DISK_SPEED_H_

#include <string>

namespace thermocline::demo {

struct DiskSpeed {
  double in = 0;   // bytes per second, reading
  double out = 0;  // writing
};

// 256 MiB each way, 1 MiB blocks, eight at a time, past the page cache. About half a second on an SSD.
DiskSpeed MeasureDisk(const std::string& folder);

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_DISK_SPEED_H_

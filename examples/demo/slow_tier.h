// The slow tier of the table's rows: which, where nobody named one, and how fast it is.
//
// Thread safety: one thread. Leaves no file behind.
#ifndef THERMOCLINE_EXAMPLES_DEMO_SLOW_TIER_H_
#define THERMOCLINE_EXAMPLES_DEMO_SLOW_TIER_H_

#include <cstdint>
#include <string>

#include "examples/demo/disk_speed.h"

namespace thermocline::demo {

// A second memory node that has `wanted` bytes free, else an SSD file; *why takes the reason, half a sentence.
std::string ChooseSlow(int64_t wanted, std::string* why);

// The folder of "file:DIR,..."; empty for other tiers.
std::string SlowFolder(const std::string& spec);

// NODE of "numa:NODE,..."; -1 for other tiers.
int SlowNode(const std::string& spec);

// Bytes free on the disk of a file tier; -1 for other tiers.
int64_t SlowRoom(const std::string& spec);

// Opens the tier as a row would and measures it. Throws std::runtime_error where it can't be used.
DiskSpeed MeasureSlow(const std::string& spec);

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_SLOW_TIER_H_

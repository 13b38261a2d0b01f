// What the kernel says of a range of this process's addresses, in /proc/self/smaps: fast memory as it is seen from
// outside.
//
// The mappings are read one after the other: memory that moves meanwhile may be counted twice, or not at all.
// Thread safety: pure but for the file.
#ifndef THERMOCLINE_TESTS_OS_SMAPS_H_
#define THERMOCLINE_TESTS_OS_SMAPS_H_

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "src/base/units.h"

namespace thermocline::os {

// The sum of a field ("Rss", "AnonHugePages") over the mappings that begin in [begin, begin + size).
inline Bytes InSmaps(const std::string& field, const char* begin, Bytes size) {
  std::ifstream smaps("/proc/self/smaps");
  const auto first = reinterpret_cast<uintptr_t>(begin);
  bool inside = false;
  Bytes sum;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long from = 0, to = 0;
    long kib = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      inside = from >= first && from < first + size.count();
    } else if (inside && line.starts_with(field + ":") &&
               std::sscanf(line.c_str() + field.size() + 1, "%ld kB", &kib) == 1) {
      sum += KiB(kib);
    }
  }
  return sum;
}

}  // namespace thermocline::os

#endif  // THERMOCLINE_TESTS_OS_SMAPS_H_

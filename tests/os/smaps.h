// What the kernel says of the memory of a process, in its folder of /proc ("self", or its number): fast memory as it is
// seen from outside.
//
// The mappings are read one after the other: memory that moves meanwhile may be counted twice, or not at all.
// Thread safety: pure but for the files.
#ifndef THERMOCLINE_TESTS_OS_SMAPS_H_
#define THERMOCLINE_TESTS_OS_SMAPS_H_

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "src/base/units.h"

namespace thermocline::os {

// The sum of a field ("Rss", "AnonHugePages") over the mappings that begin in [begin, begin + size).
inline Bytes InSmaps(const std::string& field, const char* begin, Bytes size, const std::string& process = "self") {
  std::ifstream smaps("/proc/" + process + "/smaps");
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

// The paths under /proc of the files that it has open and whose names satisfy `wanted`.
template <typename Wanted>
std::vector<std::string> OpenFiles(const std::string& process, Wanted wanted) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + process + "/fd", error)) {
    if (wanted(std::filesystem::read_symlink(entry.path(), error).string())) paths.push_back(entry.path());
  }
  return paths;
}

// Memory that it holds in files of the library's that lie in memory, mapped or not.
inline Bytes InMemoryFiles(const std::string& process = "self") {
  Bytes sum;
  for (const std::string& path :
       OpenFiles(process, [](const std::string& name) { return name.starts_with("/memfd:thermocline"); })) {
    struct stat status;
    if (stat(path.c_str(), &status) == 0) sum += Bytes(static_cast<int64_t>(status.st_blocks) * 512);
  }
  return sum;
}

}  // namespace thermocline::os

#endif  // THERMOCLINE_TESTS_OS_SMAPS_H_

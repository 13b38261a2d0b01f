// MemoryLimit: how much memory this process may use: the machine's, or less where a cgroup has a limit, as in a
// container or a systemd slice. The kernel ends a process that goes past it.
//
// Thread safety: pure functions of the files. Errors: none; a file that can't be read sets no limit.
#ifndef THERMOCLINE_OS_MEMORY_LIMIT_H_
#define THERMOCLINE_OS_MEMORY_LIMIT_H_

#include <optional>
#include <string>

#include "src/base/units.h"

namespace thermocline::os {

// Where the kernel's files are, for tests.
struct SystemRoots {
  std::string proc = "/proc";
  std::string sys = "/sys";
};

struct CgroupLimit {
  std::string version;         // "v1", "v2"; "none": the process is in no cgroup that counts memory
  std::optional<Bytes> bytes;  // the least of its own cgroup's and of those above it
  std::string file;            // that says so
};
// nullopt: /proc/self/cgroup can't be read.
std::optional<CgroupLimit> ReadCgroupLimit(const SystemRoots& roots = {});

struct MemoryLimit {
  Bytes bytes;
  std::string cgroup_file;  // of the cgroup's limit; empty: it is all that the machine has
};
// The smaller of the two.
MemoryLimit FindMemoryLimit(Bytes physical, const SystemRoots& roots = {});
// Of this process.
MemoryLimit FindMemoryLimit();

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_MEMORY_LIMIT_H_

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/parse_units.h"
#include "src/os/memory.h"
#include "src/os/memory_limit.h"
#include "src/topology/probe_support.h"
#include "src/topology/probes.h"
#include "src/topology/text_file.h"

namespace thermocline::topology {
namespace {

// The rest of the line of /proc/self/status that begins with `key`; empty when there is none.
std::string StatusLine(const ProbeMachine& machine, absl::string_view key) {
  const auto text = ReadTextFile(absl::StrCat(machine.proc_root, "/self/status"));
  if (!text.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (absl::ConsumePrefix(&line, key)) return std::string(absl::StripAsciiWhitespace(line));
  }
  return "";
}

}  // namespace

ProbeRecord ProbeKernel(const ProbeMachine& machine) {
  struct utsname name = {};
  const long result = (*machine.calls)(SYS_uname, &name);
  if (Failed(result)) return RefusedRecord("kernel", "uname", result, "the mechanisms of Linux 6.1 are tried");
  const std::vector<std::string> parts = absl::StrSplit(name.release, absl::ByAnyChar(".-"));
  int major = 0;
  int minor = 0;
  const bool read = parts.size() >= 2 && absl::SimpleAtoi(parts[0], &major) && absl::SimpleAtoi(parts[1], &minor);
  const bool new_enough = read && (major > 6 || (major == 6 && minor >= 1));
  return {"kernel", absl::StrCat("uname: ", name.sysname, " ", name.release, " ", name.machine),
          new_enough ? "" : "older than Linux 6.1, on which this is tested; each mechanism is probed all the same"};
}

ProbeRecord ProbeSeccomp(const ProbeMachine& machine) {
  const std::string mode = StatusLine(machine, "Seccomp:");
  if (mode.empty()) return {"seccomp", "/proc/self/status does not say", ""};
  if (mode == "0") return GrantedRecord("seccomp", "/proc/self/status: no filter");
  return {"seccomp", absl::StrCat("/proc/self/status: mode ", mode, ", a filter may refuse calls"),
          "each refused call is listed below"};
}

ProbeRecord ProbeMaxMapCount(const ProbeMachine& machine) {
  constexpr int kComfortable = 65530;
  const std::string path = absl::StrCat(machine.proc_root, "/sys/vm/max_map_count");
  const auto text = ReadTextFile(path);
  int64_t count = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &count)) {
    return {"mappings a process may have", absl::StrCat(path, " can't be read"), "65530 is assumed"};
  }
  const bool enough = count >= kComfortable;
  return {"mappings a process may have", absl::StrCat("vm.max_map_count is ", count),
          enough ? "" : "larger granules, fewer of them; sysctl vm.max_map_count=1048576 lifts it"};
}

ProbeRecord ProbeOvercommit(const ProbeMachine& machine) {
  const auto text = ReadTextFile(absl::StrCat(machine.proc_root, "/sys/vm/overcommit_memory"));
  if (!text.ok()) return {"reserving address space", "vm.overcommit_memory can't be read", ""};
  const bool strict = *text == "2";
  return {"reserving address space", absl::StrCat("vm.overcommit_memory is ", *text),
          strict ? "address space is reserved without access, which strict accounting does not count" : ""};
}

ProbeRecord ProbeLockedMemoryLimit(const ProbeMachine& machine) {
  struct rlimit limit = {};
  const std::string what = "locked memory, for registered io_uring buffers";
  const std::string fallback = "frames are not registered with io_uring; a few microseconds more each transfer";
  const long result = (*machine.calls)(SYS_prlimit64, 0, RLIMIT_MEMLOCK, nullptr, &limit);
  if (Failed(result)) return RefusedRecord(what, "prlimit(RLIMIT_MEMLOCK)", result, fallback);
  if (limit.rlim_cur == RLIM_INFINITY) return GrantedRecord(what, "RLIMIT_MEMLOCK: unlimited");
  // CAP_IPC_LOCK (bit 14) lifts the limit.
  const std::string capabilities = StatusLine(machine, "CapEff:");
  uint64_t bits = 0;
  const bool exempt = absl::SimpleHexAtoi(capabilities, &bits) && (bits >> 14 & 1) != 0;
  const std::string size = FormatBytes(Bytes(static_cast<int64_t>(limit.rlim_cur)));
  if (exempt) return GrantedRecord(what, absl::StrCat("RLIMIT_MEMLOCK: ", size, ", lifted by CAP_IPC_LOCK"));
  return {what, absl::StrCat("RLIMIT_MEMLOCK: ", size), fallback};
}

ProbeRecord ProbeCgroupLimit(const ProbeMachine& machine) {
  const std::string what = "memory limit of the cgroup";
  const os::SystemRoots roots{machine.proc_root, machine.sys_root};
  const std::optional<os::CgroupLimit> cgroup = os::ReadCgroupLimit(roots);
  if (!cgroup.has_value()) return {what, "/proc/self/cgroup can't be read", "all of physical memory is assumed"};
  const std::string version = absl::StrCat("cgroup ", cgroup->version, ": ");
  if (!cgroup->bytes.has_value()) return GrantedRecord(what, absl::StrCat(version, "no limit"));
  const bool holds = !os::FindMemoryLimit(os::PhysicalMemory(), roots).cgroup_file.empty();
  return GrantedRecord(what, absl::StrCat(version, FormatBytes(*cgroup->bytes), " (", cgroup->file, "), ",
                                          holds ? "the most that a fast budget may be; the default is 80% of it"
                                                : "more than the machine has"));
}

ProbeRecord ProbePerformanceCounters(const ProbeMachine& machine) {
  perf_event_attr attributes = {};
  attributes.size = sizeof(attributes);
  attributes.type = PERF_TYPE_HARDWARE;
  attributes.config = PERF_COUNT_HW_CACHE_MISSES;
  attributes.disabled = 1;
  attributes.exclude_kernel = 1;
  attributes.exclude_hv = 1;
  const ProbeDescriptor fd(*machine.calls,
                           (*machine.calls)(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
  if (fd.ok()) return GrantedRecord("hardware performance counters", "perf_event_open(cache misses): granted");
  ProbeRecord record = RefusedRecord("hardware performance counters", "perf_event_open(cache misses)", fd.result(),
                                     "accesses are found by page protection");
  const auto level = ReadTextFile(absl::StrCat(machine.proc_root, "/sys/kernel/perf_event_paranoid"));
  if (level.ok()) absl::StrAppend(&record.answer, "; kernel.perf_event_paranoid is ", *level);
  return record;
}

}  // namespace thermocline::topology

// Probes: what this machine offers, asked by trying it.
//
// Every probe leaves the machine as it was: mappings, descriptors and files are gone when it returns. None needs
// privilege; being refused is an answer. What is asked of the kernel goes through ProbeMachine, so that tests can play
// any machine.
// Thread safety: any thread, if the ProbeMachine's SystemCalls allow it. Errors: none; a failure is the record's
// answer.
#ifndef THERMOCLINE_TOPOLOGY_PROBES_H_
#define THERMOCLINE_TOPOLOGY_PROBES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/probe_record.h"
#include "src/topology/system_calls.h"

namespace thermocline::topology {

struct ProbeMachine {
  const SystemCalls* calls = &RealSystemCalls();
  std::string proc_root = "/proc";
  std::string sys_root = "/sys";
  std::string dev_root = "/dev";
  std::string cuda_library = "libcuda.so.1";  // as dlopen takes it
  std::string slow_directory = "/var/tmp";    // where a file tier would lie
};

// Kernel, limits and permissions (probe_kernel.cc).
ProbeRecord ProbeKernel(const ProbeMachine& machine);
ProbeRecord ProbeSeccomp(const ProbeMachine& machine);
ProbeRecord ProbeMaxMapCount(const ProbeMachine& machine);
ProbeRecord ProbeOvercommit(const ProbeMachine& machine);
ProbeRecord ProbeLockedMemoryLimit(const ProbeMachine& machine);
ProbeRecord ProbeCgroupLimit(const ProbeMachine& machine);
ProbeRecord ProbePerformanceCounters(const ProbeMachine& machine);

// Memory (probe_memory.cc).
ProbeRecord ProbeHugePageMode(const ProbeMachine& machine);
ProbeRecord ProbeHugePageRemap(const ProbeMachine& machine);
ProbeRecord ProbePopulateWrite(const ProbeMachine& machine);
ProbeRecord ProbeCollapse(const ProbeMachine& machine);
ProbeRecord ProbeMemfd(const ProbeMachine& machine);
ProbeRecord ProbeNumaNodes(const ProbeMachine& machine);
ProbeRecord ProbeMbind(const ProbeMachine& machine);
ProbeRecord ProbeMovePages(const ProbeMachine& machine);

// Faults in user space (probe_userfaultfd.cc).
ProbeRecord ProbeUserfaultfdUserMode(const ProbeMachine& machine);
ProbeRecord ProbeUserfaultfdKernelMode(const ProbeMachine& machine);
ProbeRecord ProbeUserfaultfdDevice(const ProbeMachine& machine);
std::vector<ProbeRecord> ProbeUserfaultfdFeatures(const ProbeMachine& machine);

// Disk (probe_io.cc).
ProbeRecord ProbeIoUring(const ProbeMachine& machine);
ProbeRecord ProbeSlowDirectory(const ProbeMachine& machine);
ProbeRecord ProbeDirectIo(const ProbeMachine& machine);

// GPU (probe_cuda.cc).
ProbeRecord ProbeCudaDriver(const ProbeMachine& machine);

struct ProbeSection {
  std::string title;
  std::vector<ProbeRecord> records;
};
// Every probe, in the order in which `thermocline doctor` prints them.
std::vector<ProbeSection> ProbeAll(const ProbeMachine& machine);

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_PROBES_H_

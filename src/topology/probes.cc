#include "src/topology/probes.h"

#include <utility>

namespace thermocline::topology {

std::vector<ProbeSection> ProbeAll(const ProbeMachine& machine) {
  ProbeSection faults{
      "Faults handled in user space",
      {ProbeUserfaultfdUserMode(machine), ProbeUserfaultfdKernelMode(machine), ProbeUserfaultfdDevice(machine)}};
  for (ProbeRecord& record : ProbeUserfaultfdFeatures(machine)) faults.records.push_back(std::move(record));
  return {
      {"System",
       {ProbeKernel(machine), ProbeSeccomp(machine), ProbeCgroupLimit(machine), ProbeMaxMapCount(machine),
        ProbeOvercommit(machine), ProbeLockedMemoryLimit(machine), ProbePerformanceCounters(machine)}},
      {"Memory",
       {ProbeHugePageMode(machine), ProbeHugePageRemap(machine), ProbePopulateWrite(machine), ProbeCollapse(machine),
        ProbeMemfd(machine), ProbeNumaNodes(machine), ProbeMbind(machine), ProbeMovePages(machine)}},
      std::move(faults),
      {"Disk", {ProbeSlowDirectory(machine), ProbeDirectIo(machine), ProbeIoUring(machine)}},
      {"GPU", {ProbeCudaDriver(machine)}},
  };
}

}  // namespace thermocline::topology

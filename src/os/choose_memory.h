// Which memory a runtime works on: by wish, else by probe.
//
// Thread safety: any thread. Ownership: the caller's. Errors: InvalidArgument for an unknown wish; what was insisted on
// and isn't to be had is the status of its probe.
#ifndef THERMOCLINE_OS_CHOOSE_MEMORY_H_
#define THERMOCLINE_OS_CHOOSE_MEMORY_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/probe_record.h"
#include "src/os/memory.h"
#include "src/os/userfaultfd.h"

namespace thermocline::os {

// For kernel faults: "auto", "on" or "off". `auto` is off: they cost some speed where a program has many threads that
// touch what is away (docs/tuning.md).
absl::Status CheckKernelFaultsWish(absl::string_view wish);
// Nullptr where nothing but RealMemory is to be had or wanted. Held frames are told where the kernel can.
absl::StatusOr<std::unique_ptr<Memory>> MakeWatchedMemory(absl::string_view kernel_faults, bool held_frames = true,
                                                          UserfaultCalls& calls = RealUserfaultCalls());
// For `thermocline doctor`, by the wishes that a runtime would get: whether system calls may touch tensors that are
// away, and whether frames that the kernel holds are told, why not, and what to do then.
std::vector<ProbeRecord> ProbeWatchedMemory(absl::string_view kernel_faults, bool held_frames,
                                            UserfaultCalls& calls = RealUserfaultCalls());

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_CHOOSE_MEMORY_H_

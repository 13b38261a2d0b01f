// Which mechanism sees touches in a profiled step: by wish, else by probe.
//
// Thread safety: any thread. Ownership: the caller's. Errors: InvalidArgument for an unknown name; a mechanism that was
// asked for and isn't to be had is the status of its probe.
#ifndef THERMOCLINE_PROFILE_CHOOSE_GATE_H_
#define THERMOCLINE_PROFILE_CHOOSE_GATE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/arena/access_gate.h"
#include "src/base/probe_record.h"
#include "src/os/memory.h"
#include "src/os/userfaultfd.h"

namespace thermocline::profile {

// "auto", "mprotect" or "userfaultfd".
absl::Status CheckGateName(absl::string_view name);
// "auto" is the one that measured faster (bench/README.md): page protection, unless the wish says otherwise.
absl::StatusOr<std::unique_ptr<arena::AccessGate>> MakeGate(absl::string_view name, os::Memory& memory,
                                                            os::UserfaultCalls& calls = os::RealUserfaultCalls());
// For `thermocline doctor`: whether the mechanism without mapping splits is to be had, and which one is in use.
ProbeRecord ProbeGates(absl::string_view wish, os::UserfaultCalls& calls = os::RealUserfaultCalls());

}  // namespace thermocline::profile

#endif  // THERMOCLINE_PROFILE_CHOOSE_GATE_H_

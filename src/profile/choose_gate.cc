#include "src/profile/choose_gate.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/profile/userfaultfd_gate.h"

namespace thermocline::profile {

absl::Status CheckGateName(absl::string_view name) {
  if (name == "auto" || name == "mprotect" || name == "userfaultfd") return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("there is no profiler '", name, "'; give auto, mprotect or userfaultfd"));
}

absl::StatusOr<std::unique_ptr<arena::AccessGate>> MakeGate(absl::string_view name, os::Memory& memory,
                                                            os::UserfaultCalls& calls) {
  if (absl::Status status = CheckGateName(name); !status.ok()) return status;
  if (name != "userfaultfd") return std::make_unique<arena::ProtectionGate>(memory);
  absl::StatusOr<std::unique_ptr<UserfaultGate>> gate = UserfaultGate::Create(memory, calls);
  if (!gate.ok()) {
    return absl::Status(gate.status().code(), absl::StrCat("the profiler userfaultfd is not to be had here: ",
                                                           gate.status().message(), ". Take auto or mprotect"));
  }
  return std::unique_ptr<arena::AccessGate>(*std::move(gate));
}

ProbeRecord ProbeGates(absl::string_view wish, os::UserfaultCalls& calls) {
  ProbeRecord record;
  record.what = "profiler without mapping splits (userfaultfd on shared memory)";
  const auto gate = UserfaultGate::Create(os::RealMemory(), calls);
  record.answer = gate.ok() ? "granted: minor faults, SIGBUS and write protection were tried on two pages"
                            : std::string(gate.status().message());
  if (wish != "userfaultfd") {
    record.not_default = gate.ok();
    record.fallback = gate.ok() ? "the profiler in use is mprotect; THERMOCLINE_PROFILER=userfaultfd takes this one"
                                : "the profiler in use is mprotect";
  } else if (!gate.ok()) {
    record.fallback = "none: THERMOCLINE_PROFILER=userfaultfd insists on it";
  }
  return record;
}

}  // namespace thermocline::profile

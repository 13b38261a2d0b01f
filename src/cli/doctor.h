// What `thermocline doctor` prints, apart from asking the machine.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_CLI_DOCTOR_H_
#define THERMOCLINE_CLI_DOCTOR_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/topology/probes.h"

namespace thermocline::cli {

struct DoctorReport {
  std::vector<topology::ProbeSection> sections;
  std::string slow;         // the spec that was asked about: "file:/var/tmp"
  std::string slow_tier;    // the tier as it would be used; empty when it can't be
  absl::Status slow_status;  // why it can't be
};

// For people: each probe's answer, what is used instead where it was refused, and what that means.
std::string FormatDoctorReport(const DoctorReport& report);
// {"sections": [{"title", "probes": [{"what", "answer", "available", "fallback"}]}],
//  "slow": {"spec", "usable", "tier" or "error"}}
std::string DoctorReportToJson(const DoctorReport& report);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_DOCTOR_H_

// What `thermocline doctor` prints, apart from asking the machine.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_CLI_DOCTOR_H_
#define THERMOCLINE_CLI_DOCTOR_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/tier/numa_system.h"
#include "src/tier/tier_spec.h"
#include "src/topology/probes.h"

namespace thermocline::cli {

struct DoctorReport {
  std::vector<topology::ProbeSection> sections;
  std::string slow;          // the spec that was asked about: "file:/var/tmp"
  std::string slow_tier;     // the tier as it would be used; empty when it can't be
  absl::Status slow_status;  // why it can't be
};

// Makes the tier as a runtime would, so that what is printed is what will be; adds what it probed as a section.
void TrySlowTier(const tier::TierRequest& request, DoctorReport* report,
                 tier::NumaSystem& numa = tier::RealNumaSystem());

// For people: each probe's answer, what is used instead where it was refused, and what that means.
std::string FormatDoctorReport(const DoctorReport& report);
// {"sections": [{"title", "probes": [{"what", "answer", "available", "default", "fallback"}]}],
//  "slow": {"spec", "usable", "tier" or "error"}}; what is available and not the default is not used unless asked for.
std::string DoctorReportToJson(const DoctorReport& report);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_DOCTOR_H_

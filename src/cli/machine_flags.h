// The flags that describe a machine to `plan` and `simulate`: --slow, --compute, --granule.
//
// Thread safety: pure functions and plain data. Errors: UsageError naming the flag's text, what is wrong, what is
// right.
#ifndef THERMOCLINE_CLI_MACHINE_FLAGS_H_
#define THERMOCLINE_CLI_MACHINE_FLAGS_H_

#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/plan/migration_plan.h"
#include "src/profile/profile.h"

namespace thermocline::cli {

// "ssd:in=1.3GB/s,out=1.3GB/s,latency=80us,duplex=half,addressable=no,capacity=64GiB": `in` is required, `out` is as
// `in`, the others are none, half, no and unlimited.
absl::StatusOr<plan::TierSpec> ParseTierSpec(absl::string_view text);

// How much faster another machine computes.
struct ComputeScale {
  double scale = 1;  // divides each layer's time
  double flops = 0;  // with `memory`: a layer takes what its flops or its bytes take, the longer
  BytesPerSecond memory;
};
// "scale=20" or "flops=60e12,memory=3TB/s".
absl::StatusOr<ComputeScale> ParseComputeScale(absl::string_view text);
// Returns the number of layers whose time could not be rescaled because the trace has no flops and bytes for them.
int ApplyComputeScale(const ComputeScale& scale, profile::Profile* profile);

struct MachineFlags {
  std::vector<std::string> slow;
  std::vector<std::string> compute;
  std::string granule;  // "": as a run would choose

  void AddTo(CLI::App* subcommand);
  void AddSlowTo(CLI::App* subcommand);  // --slow alone
  absl::StatusOr<plan::Machine> Machine() const;
  absl::StatusOr<Bytes> GranuleFor(Bytes budget) const;
  // Rescales the profile's layers; says on stderr which it could not.
  absl::Status Rescale(profile::Profile* profile) const;
};

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_MACHINE_FLAGS_H_

// PeakCache: the peaks of commands that `thermocline run` has run before, so that a share of the peak can be given.
//
// One small file a command in $XDG_CACHE_HOME/thermocline (~/.cache/thermocline), named by a hash of the program's path
// and arguments; replaced as a whole. Thread safety: pure functions of the environment and the disk. Errors: a file
// that can't be read is no peak; one that can't be written is an absl::Status that names it.
#ifndef THERMOCLINE_CLI_PEAK_CACHE_H_
#define THERMOCLINE_CLI_PEAK_CACHE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/base/units.h"

namespace thermocline::cli {

std::optional<Bytes> RememberedPeak(const std::vector<std::string>& command);
absl::Status RememberPeak(const std::vector<std::string>& command, Bytes peak);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_PEAK_CACHE_H_

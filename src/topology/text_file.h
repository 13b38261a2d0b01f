// Reads a small text file of /proc or /sys whole.
//
// Thread safety: a pure function of the file. Errors: NotFound when there is no such file, otherwise the errno's
// status, with the path.
#ifndef THERMOCLINE_TOPOLOGY_TEXT_FILE_H_
#define THERMOCLINE_TOPOLOGY_TEXT_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace thermocline::topology {

// The text, white space stripped from both ends.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_TEXT_FILE_H_

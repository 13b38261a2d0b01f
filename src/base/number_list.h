// Reads the lists of numbers that the kernel writes: CPUs, memory nodes.
//
// Thread safety: a pure function. Errors: InvalidArgument with the text.
#ifndef THERMOCLINE_BASE_NUMBER_LIST_H_
#define THERMOCLINE_BASE_NUMBER_LIST_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace thermocline {

// "0-2,5" -> 0 1 2 5; "" -> nothing.
absl::StatusOr<std::vector<int>> ParseNumberList(absl::string_view text);

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_NUMBER_LIST_H_

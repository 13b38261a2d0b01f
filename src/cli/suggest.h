// Finds what somebody may have meant.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_CLI_SUGGEST_H_
#define THERMOCLINE_CLI_SUGGEST_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace thermocline::cli {

// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
int EditDistance(absl::string_view a, absl::string_view b);

// The candidate closest to `word`, when it is close enough to be a slip of the finger; else "".
std::string Suggest(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_SUGGEST_H_

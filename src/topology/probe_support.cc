#include "src/topology/probe_support.h"

#include <string.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace thermocline::topology {

std::string ErrnoInWords(long result) {
  const int error = static_cast<int>(-result);
  const char* name = strerrorname_np(error);
  return absl::StrCat(name != nullptr ? name : "errno ", name != nullptr ? "" : std::to_string(error), " (",
                      strerrordesc_np(error) != nullptr ? strerrordesc_np(error) : "unknown", ")");
}

ProbeRecord RefusedRecord(std::string what, const std::string& call, long result, std::string fallback) {
  return {std::move(what), absl::StrCat(call, ": ", ErrnoInWords(result)), std::move(fallback)};
}

ProbeRecord GrantedRecord(std::string what, std::string answer) { return {std::move(what), std::move(answer), ""}; }

}  // namespace thermocline::topology

#include "src/base/number_list.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace thermocline {
namespace {

constexpr int kMost = 65536;  // more CPUs and nodes than any kernel has; a list that says more is broken

}  // namespace

absl::StatusOr<std::vector<int>> ParseNumberList(absl::string_view text) {
  std::vector<int> numbers;
  for (absl::string_view range : absl::StrSplit(absl::StripAsciiWhitespace(text), ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> ends = absl::StrSplit(range, '-');
    int first = 0;
    int last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last) ||
        first < 0 || last < first || last - first > kMost) {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a list like 0-3,8"));
    }
    for (int number = first; number <= last; ++number) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace thermocline

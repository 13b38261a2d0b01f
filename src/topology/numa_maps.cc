#include "src/topology/numa_maps.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace thermocline::topology {
namespace {

// "N1=512" -> true, node 1 and 512.
bool ReadPages(absl::string_view word, int* node, int64_t* pages) {
  const std::pair<absl::string_view, absl::string_view> sides = absl::StrSplit(word, absl::MaxSplits('=', 1));
  absl::string_view name = sides.first;
  return absl::ConsumePrefix(&name, "N") && absl::SimpleAtoi(name, node) && absl::SimpleAtoi(sides.second, pages);
}

// Pages of huge-page file systems are counted in their own size, the others in the system's.
int64_t PageKib(const std::vector<absl::string_view>& words) {
  int64_t kib = 4;
  for (absl::string_view word : words) {
    if (absl::ConsumePrefix(&word, "kernelpagesize_kB=") && !absl::SimpleAtoi(word, &kib)) kib = 4;
  }
  return kib;
}

}  // namespace

BytesOnNodes ReadNumaMaps(absl::string_view text, absl::string_view policy) {
  BytesOnNodes bytes;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() < 2 || (!policy.empty() && words[1] != policy)) continue;
    const int64_t page_kib = PageKib(words);
    for (absl::string_view word : words) {
      int node = 0;
      int64_t pages = 0;
      if (ReadPages(word, &node, &pages)) bytes[NodeId(node)] += KiB(pages * page_kib);
    }
  }
  return bytes;
}

}  // namespace thermocline::topology

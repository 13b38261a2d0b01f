#include "examples/demo/row.h"

#include <algorithm>
#include <cstdio>

namespace thermocline::demo {

const std::vector<RowSpec>& Rows() {
  using Kind = RowSpec::Kind;
  static const auto* const rows = new std::vector<RowSpec>{
      {"glibc", Kind::kAllocator, "glibc", "", 0, ""},
      {"tcmalloc", Kind::kAllocator, "tcmalloc", "libtcmalloc_minimal.so.4", 0, ""},
      {"jemalloc", Kind::kAllocator, "jemalloc", "libjemalloc.so.2", 0, ""},
      {"mimalloc", Kind::kAllocator, "mimalloc", "libmimalloc.so.2", 0, ""},
      {"thermocline-100", Kind::kThermocline, "", "", 100, "lookahead"},
      {"thermocline-50", Kind::kThermocline, "", "", 50, "lookahead"},
      {"thermocline-20", Kind::kThermocline, "", "", 20, "lookahead"},
      {"lru-20", Kind::kThermocline, "", "", 20, "lru"},
      {"swap-20", Kind::kSwap, "", "", 20, ""},
  };
  return *rows;
}

std::string FindLibrary(const std::string& soname) {
  // "	libjemalloc.so.2 (libc6,x86-64) => /lib/x86_64-linux-gnu/libjemalloc.so.2"
  std::FILE* pipe = popen("PATH=/sbin:/usr/sbin:$PATH ldconfig -p 2>/dev/null", "r");
  if (pipe == nullptr) return "";
  std::string found;
  char line[1024];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) {
    const std::string text = line;
    const size_t name = text.find_first_not_of(" \t"), arrow = text.find(" => ");
    if (arrow == std::string::npos || text.compare(name, soname.size() + 1, soname + " ") != 0) continue;
    if (found.empty()) found = text.substr(arrow + 4, text.find('\n') - arrow - 4);
  }
  pclose(pipe);
  return found;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double RowResult::median() const { return Median(seconds); }

}  // namespace thermocline::demo

#include "examples/demo/row.h"

#include <algorithm>
#include <cstdio>

namespace thermocline::demo {

const std::vector<RowSpec>& Rows() {
  static const auto* const rows = [] {
    auto* all = new std::vector<RowSpec>;
    for (const char* name : {"glibc", "tcmalloc", "jemalloc", "mimalloc", "thermocline-100", "thermocline-50",
                             "thermocline-20", "lru-20", "swap-20"}) {
      all->push_back(*ParseRow(name));
    }
    return all;
  }();
  return *rows;
}

std::optional<RowSpec> ParseRow(const std::string& name) {
  using Kind = RowSpec::Kind;
  static const std::vector<RowSpec>* const allocators = new std::vector<RowSpec>{
      {"glibc", Kind::kAllocator, "glibc", "", 0, ""},
      {"tcmalloc", Kind::kAllocator, "tcmalloc", "libtcmalloc_minimal.so.4", 0, ""},
      {"jemalloc", Kind::kAllocator, "jemalloc", "libjemalloc.so.2", 0, ""},
      {"mimalloc", Kind::kAllocator, "mimalloc", "libmimalloc.so.2", 0, ""},
  };
  for (const RowSpec& spec : *allocators) {
    if (spec.name == name) return spec;
  }
  const size_t dash = name.find('-');
  if (dash == std::string::npos || name.find_first_not_of("0123456789", dash + 1) != std::string::npos) return {};
  const std::string kind = name.substr(0, dash), digits = name.substr(dash + 1);
  if (digits.empty() || digits.size() > 4) return {};
  const int percent = std::stoi(digits);
  if (percent < 1) return {};
  if (kind == "thermocline") return RowSpec{name, Kind::kThermocline, "", "", percent, "lookahead"};
  if (kind == "lru") return RowSpec{name, Kind::kThermocline, "", "", percent, "lru"};
  if (kind == "limited") return RowSpec{name, Kind::kThermocline, "", "", percent, "lookahead", true};
  if (kind == "unmarked") return RowSpec{name, Kind::kUnmarked, "", "", percent, "lookahead"};
  if (kind == "swap") return RowSpec{name, Kind::kSwap, "", "", percent, ""};
  return {};
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

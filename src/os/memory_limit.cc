#include "src/os/memory_limit.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "src/os/memory.h"

namespace thermocline::os {
namespace {

// From here on a cgroup's number means "none": v1 writes one near 2^63.
constexpr int64_t kUnlimited = INT64_C(1) << 62;

std::optional<std::string> ReadText(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The files from the cgroup at `path` up to the hierarchy's root: /proc/self/cgroup may name places of the host, of
// which a container sees its own root only.
void TakeTightest(const std::string& hierarchy, std::string path, const char* name, CgroupLimit* limit) {
  for (;;) {
    const std::string file = absl::StrCat(hierarchy, path, "/", name);
    int64_t bytes = 0;
    // v2 writes the word "max" for "none".
    const bool limited = absl::SimpleAtoi(ReadText(file).value_or("max"), &bytes) && bytes < kUnlimited;
    if (limited && Bytes(bytes) < limit->bytes.value_or(Bytes(kUnlimited))) {
      limit->bytes = Bytes(bytes);
      limit->file = file;
    }
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return;
    path.resize(slash);
  }
}

}  // namespace

std::optional<CgroupLimit> ReadCgroupLimit(const SystemRoots& roots) {
  const std::optional<std::string> text = ReadText(absl::StrCat(roots.proc, "/self/cgroup"));
  if (!text.has_value()) return std::nullopt;
  const std::string root = absl::StrCat(roots.sys, "/fs/cgroup");
  CgroupLimit limit{"none", std::nullopt, ""};
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));  // 5:cpu,memory:/job
    if (fields.size() != 3) continue;
    const std::string path(fields[2] == "/" ? "" : fields[2]);
    const std::vector<absl::string_view> controllers = absl::StrSplit(fields[1], ',');
    if (fields[1].empty()) {
      TakeTightest(root, path, "memory.max", &limit);
      if (limit.version == "none") limit.version = "v2";
    } else if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()) {
      TakeTightest(absl::StrCat(root, "/memory"), path, "memory.limit_in_bytes", &limit);
      limit.version = "v1";
    }
  }
  return limit;
}

MemoryLimit FindMemoryLimit(Bytes physical, const SystemRoots& roots) {
  const std::optional<CgroupLimit> cgroup = ReadCgroupLimit(roots);
  if (!cgroup.has_value() || cgroup->bytes.value_or(physical) >= physical) return {physical, ""};
  return {*cgroup->bytes, cgroup->file};
}

MemoryLimit FindMemoryLimit() { return FindMemoryLimit(PhysicalMemory()); }

}  // namespace thermocline::os

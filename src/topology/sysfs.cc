#include "src/topology/sysfs.h"

#include <dirent.h>

#include <algorithm>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/number_list.h"
#include "src/topology/text_file.h"

namespace thermocline::topology {
namespace {

absl::Status Nonsense(const std::string& path, absl::string_view text, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(path, " says \"", text, "\", expected ", expected));
}

// The numbers N of the directory's entries named prefixN, sorted. Empty when there is no such directory.
std::vector<int> NumberedEntries(const std::string& directory, absl::string_view prefix) {
  std::vector<int> numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (dir == nullptr) return numbers;
  while (const dirent* entry = readdir(dir.get())) {
    absl::string_view name = entry->d_name;
    int number = 0;
    if (absl::ConsumePrefix(&name, prefix) && absl::SimpleAtoi(name, &number)) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// MemTotal and MemFree of a node's meminfo: "Node 0 MemTotal:       24640000 kB".
absl::Status ReadBytes(const std::string& directory, MemoryNode* node) {
  const std::string path = absl::StrCat(directory, "/meminfo");
  const auto text = ReadTextFile(path);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    const bool total = words.size() >= 4 && words[2] == "MemTotal:";
    if (!total && (words.size() < 4 || words[2] != "MemFree:")) continue;
    int64_t kib = 0;
    if (!absl::SimpleAtoi(words[3], &kib) || kib < 0) {
      return Nonsense(path, line, absl::StrCat("\"Node N ", words[2], " BYTES kB\""));
    }
    if (total) {
      node->bytes = KiB(kib);
      node->bytes_source = FigureSource::kSysfs;
    } else {
      node->free = KiB(kib);
    }
  }
  if (node->bytes_source == FigureSource::kSysfs) return absl::OkStatus();
  return Nonsense(path, text->substr(0, 60), "a MemTotal line");
}

absl::Status ReadCpus(const std::string& directory, MemoryNode* node) {
  const std::string path = absl::StrCat(directory, "/cpulist");
  const auto text = ReadTextFile(path);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  const auto cpus = ParseNumberList(*text);
  if (!cpus.ok()) return Nonsense(path, *text, "a list of CPUs as 0-3,8");
  node->has_cpus = !cpus->empty();
  return absl::OkStatus();
}

absl::Status ReadDistances(const std::string& directory, MemoryNode* node) {
  const std::string path = absl::StrCat(directory, "/distance");
  const auto text = ReadTextFile(path);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  for (absl::string_view word : absl::StrSplit(*text, ' ', absl::SkipEmpty())) {
    int distance = 0;
    if (!absl::SimpleAtoi(word, &distance) || distance <= 0) return Nonsense(path, *text, "distances above 0");
    node->distances.push_back(distance);
  }
  return absl::OkStatus();
}

// One file of an access class. Unknown when it is missing or 0, which firmware writes where it does not know.
absl::StatusOr<int64_t> ReadFigure(const std::string& path) {
  const auto text = ReadTextFile(path);
  if (absl::IsNotFound(text.status())) return 0;
  if (!text.ok()) return text.status();
  int64_t value = 0;
  if (!absl::SimpleAtoi(*text, &value) || value < 0) return Nonsense(path, *text, "a number");
  return value;
}

// access1 is as CPUs see the node, access0 as its best initiator of any kind does (a GPU, say): so access1 first.
absl::Status ReadAccess(const std::string& directory, MemoryNode* node) {
  for (const char* access : {"access1", "access0"}) {
    const std::string base = absl::StrCat(directory, "/", access, "/initiators/");
    const auto read = ReadFigure(base + "read_bandwidth");
    if (!read.ok()) return read.status();
    const auto write = ReadFigure(base + "write_bandwidth");
    if (!write.ok()) return write.status();
    const auto latency = ReadFigure(base + "read_latency");
    if (!latency.ok()) return latency.status();
    // Documentation/admin-guide/mm/numaperf.rst: MiB/s and nanoseconds.
    const auto rate = [](int64_t mib) { return BytesPerSecond(static_cast<double>(MiB(mib).count())); };
    if (!node->read_bandwidth.known() && *read > 0) node->read_bandwidth = {rate(*read), FigureSource::kSysfs};
    if (!node->write_bandwidth.known() && *write > 0) node->write_bandwidth = {rate(*write), FigureSource::kSysfs};
    if (!node->latency_seconds.known() && *latency > 0) {
      node->latency_seconds = {static_cast<double>(*latency) * 1e-9, FigureSource::kSysfs};
    }
  }
  return absl::OkStatus();
}

// Node id -> the kernel's memory tier. Empty before Linux 6.1, and where memory_tiering is not built in.
absl::StatusOr<std::map<int, int>> ReadKernelTiers(const std::string& root) {
  std::map<int, int> tier_of;
  const std::string directory = absl::StrCat(root, "/devices/virtual/memory_tiering");
  for (int tier : NumberedEntries(directory, "memory_tier")) {
    const std::string path = absl::StrCat(directory, "/memory_tier", tier, "/nodelist");
    const auto text = ReadTextFile(path);
    if (absl::IsNotFound(text.status())) continue;
    if (!text.ok()) return text.status();
    const auto nodes = ParseNumberList(*text);
    if (!nodes.ok()) return Nonsense(path, *text, "a list of nodes as 0-3,8");
    for (int node : *nodes) tier_of[node] = tier;
  }
  return tier_of;
}

}  // namespace

absl::StatusOr<std::vector<MemoryNode>> ReadSysfsNodes(const std::string& root) {
  const std::string directory = absl::StrCat(root, "/devices/system/node");
  const auto tiers = ReadKernelTiers(root);
  if (!tiers.ok()) return tiers.status();
  std::vector<MemoryNode> nodes;
  for (int number : NumberedEntries(directory, "node")) {
    MemoryNode node;
    node.id = NodeId(number);
    const std::string node_directory = absl::StrCat(directory, "/node", number);
    for (const auto& reader : {ReadBytes, ReadCpus, ReadDistances, ReadAccess}) {
      if (absl::Status status = reader(node_directory, &node); !status.ok()) return status;
    }
    // A node of CPUs without memory is no place for a tensor.
    if (node.bytes_source == FigureSource::kSysfs && node.bytes == Bytes(0)) continue;
    if (const auto tier = tiers->find(number); tier != tiers->end()) node.kernel_tier = tier->second;
    nodes.push_back(std::move(node));
  }
  if (nodes.empty()) return absl::NotFoundError(absl::StrCat("no memory node in ", directory));
  return nodes;
}

}  // namespace thermocline::topology

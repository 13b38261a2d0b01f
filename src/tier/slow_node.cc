#include "src/tier/slow_node.h"

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "src/base/number_list.h"

namespace thermocline::tier {
namespace {

constexpr absl::string_view kNodes = "/sys/devices/system/node/";

// A list of /proc/self/status, such as Mems_allowed_list; nullopt where there is none.
std::optional<std::vector<int>> Allowed(absl::string_view status, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (!absl::ConsumePrefix(&line, name)) continue;
    const auto list = ParseNumberList(line);
    if (list.ok()) return *list;
  }
  return std::nullopt;
}

std::optional<std::vector<int>> List(NumaSystem& system, absl::string_view file) {
  const std::string text = system.ReadText(absl::StrCat(kNodes, file).c_str());
  const auto list = ParseNumberList(text);
  if (text.empty() || !list.ok()) return std::nullopt;
  return *list;
}

bool Has(const std::vector<int>& list, int number) { return std::find(list.begin(), list.end(), number) != list.end(); }

// One bit a node that has memory which this process may use; nullopt when nobody says.
std::optional<uint64_t> UsableNodes(NumaSystem& system, absl::string_view status) {
  const auto with_memory = List(system, "has_memory");
  if (!with_memory.has_value()) return std::nullopt;
  const auto allowed = Allowed(status, "Mems_allowed_list:");
  uint64_t usable = 0;
  for (int node : *with_memory) {
    if (node < 64 && (!allowed.has_value() || Has(*allowed, node))) usable |= uint64_t{1} << node;
  }
  return usable;
}

// Of `usable`, the nodes of the CPUs that the process may run on.
uint64_t NodesOfCpus(NumaSystem& system, absl::string_view status, uint64_t usable) {
  const auto cpus = Allowed(status, "Cpus_allowed_list:");
  uint64_t near = 0;
  for (int node = 0; node < 64; ++node) {
    if ((usable >> node & 1) == 0) continue;
    const auto own = List(system, absl::StrCat("node", node, "/cpulist"));
    if (!own.has_value() || own->empty()) continue;
    const bool runs_there =
        !cpus.has_value() || std::any_of(own->begin(), own->end(), [&cpus](int cpu) { return Has(*cpus, cpu); });
    if (runs_there) near |= uint64_t{1} << node;
  }
  return near;
}

}  // namespace

std::optional<uint64_t> FastNodes(NumaSystem& system) {
  MemoryPolicy policy = MemoryPolicy::kDefault;
  uint64_t named = 0;
  const bool told = system.Policy(&policy, &named) == 0;
  if (told && policy != MemoryPolicy::kDefault && policy != MemoryPolicy::kLocal && named != 0) return named;
  const std::string status = system.ReadText("/proc/self/status");
  const auto usable = UsableNodes(system, status);
  if (!usable.has_value()) return std::nullopt;
  const uint64_t near = NodesOfCpus(system, status, *usable);
  return near != 0 ? near : *usable;
}

absl::Status CheckSlowNode(int node, NumaSystem& system) {
  const auto fast = FastNodes(system);
  if (!fast.has_value() || node < 0 || node >= 64 || *fast != uint64_t{1} << node) return absl::OkStatus();
  const auto usable = UsableNodes(system, system.ReadText("/proc/self/status"));
  const bool only = !usable.has_value() || std::popcount(*usable) < 2;
  if (only) {
    return absl::InvalidArgumentError(absl::StrCat("numa:", node, ": fast memory is on node ", node,
                                                   " too, the only one that there is: fast and slow would be the ",
                                                   "same memory. Take a folder on an SSD, file:/var/tmp"));
  }
  return absl::InvalidArgumentError(absl::StrCat("numa:", node, ": fast memory is taken from node ", node,
                                                 " too: fast and slow would be the same memory. Name ",
                                                 "another node (thermocline tiers lists them), or have fast memory "
                                                 "taken from another one: numactl --membind=NODE ",
                                                 "before the command"));
}

}  // namespace thermocline::tier

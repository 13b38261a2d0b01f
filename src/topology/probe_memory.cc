#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "src/base/clock.h"
#include "src/topology/probe_support.h"
#include "src/topology/probes.h"
#include "src/topology/sysfs.h"
#include "src/topology/text_file.h"

namespace thermocline::topology {
namespace {

constexpr Bytes kHuge = MiB(2);
constexpr int kMadvPopulateWrite = 23;  // Linux 5.14
constexpr int kMadvCollapse = 25;       // Linux 6.1; the headers of Debian 12 lack it
constexpr int kMpolPreferred = 1;
constexpr int kMpolMfMove = 1 << 1;

// AnonHugePages of the mapping at `address`, from /proc/self/smaps; -1 when it can't be read.
int64_t HugeKib(const ProbeMachine& machine, const char* address) {
  const auto text = ReadTextFile(absl::StrCat(machine.proc_root, "/self/smaps"));
  if (!text.ok()) return -1;
  bool inside = false;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    const std::vector<absl::string_view> range = absl::StrSplit(words[0], '-');
    uint64_t begin = 0;
    uint64_t end = 0;
    if (range.size() == 2 && absl::SimpleHexAtoi(range[0], &begin) && absl::SimpleHexAtoi(range[1], &end)) {
      const auto at = reinterpret_cast<uint64_t>(address);
      inside = begin <= at && at < end;
    }
    int64_t kib = 0;
    if (inside && words[0] == "AnonHugePages:" && words.size() > 1 && absl::SimpleAtoi(words[1], &kib)) return kib;
  }
  return -1;
}

// The bracketed word of "always [madvise] never".
std::string Chosen(const std::string& text) {
  const size_t open = text.find('[');
  const size_t close = text.find(']');
  return open == std::string::npos || close == std::string::npos ? text : text.substr(open + 1, close - open - 1);
}

}  // namespace

ProbeRecord ProbeHugePageMode(const ProbeMachine& machine) {
  const std::string what = "transparent huge pages";
  const std::string fallback = "4 KiB pages: more time to take and to move a frame";
  const std::string directory = absl::StrCat(machine.sys_root, "/kernel/mm/transparent_hugepage");
  const auto mode = ReadTextFile(directory + "/enabled");
  if (!mode.ok()) return {what, absl::StrCat(directory, "/enabled can't be read"), fallback};
  const auto shared = ReadTextFile(directory + "/shmem_enabled");
  const std::string chosen = Chosen(*mode);
  const bool usable = chosen == "always" || chosen == "madvise";
  return {what, absl::StrCat("enabled is ", chosen, ", shmem_enabled is ", shared.ok() ? Chosen(*shared) : "unknown"),
          usable ? "" : fallback};
}

ProbeRecord ProbeHugePageRemap(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const std::string what = "moving a 2 MiB page without a copy (mremap)";
  const std::string fallback = "bytes are copied between tier and tensor";
  const ProbeMapping source(calls, kHuge * 2);
  const ProbeMapping target(calls, kHuge * 2);
  if (!source.ok() || !target.ok()) {
    return RefusedRecord(what, "mmap of 4 MiB", source.ok() ? target.result() : source.result(), fallback);
  }
  char* from = source.AlignedData(kHuge);
  char* to = target.AlignedData(kHuge);
  calls(SYS_madvise, from, kHuge.count(), MADV_HUGEPAGE);
  memset(from, 0x5A, static_cast<size_t>(kHuge.count()));
  const int64_t huge_kib = HugeKib(machine, from);
  const int64_t start = MonotonicClock().NowNanos();
  const long moved = calls(SYS_mremap, from, kHuge.count(), kHuge.count(), MREMAP_MAYMOVE | MREMAP_FIXED, to);
  const int64_t nanos = MonotonicClock().NowNanos() - start;
  if (Failed(moved)) return RefusedRecord(what, "mremap(MREMAP_FIXED) of 2 MiB", moved, fallback);
  if (to[0] != 0x5A || to[kHuge.count() - 1] != 0x5A) return {what, "mremap lost the bytes", fallback};
  return GrantedRecord(what, absl::StrFormat("mremap: %.1f us, %s", static_cast<double>(nanos) * 1e-3,
                                             huge_kib >= 2048 ? "one huge page" : "512 small pages"));
}

ProbeRecord ProbePopulateWrite(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const std::string what = "taking pages in one call (MADV_POPULATE_WRITE)";
  const std::string fallback = "pages are touched one by one";
  const ProbeMapping memory(calls, KiB(64));
  if (!memory.ok()) return RefusedRecord(what, "mmap of 64 KiB", memory.result(), fallback);
  const long result = calls(SYS_madvise, memory.data(), KiB(64).count(), kMadvPopulateWrite);
  return Failed(result) ? RefusedRecord(what, "madvise of 64 KiB", result, fallback)
                        : GrantedRecord(what, "madvise of 64 KiB: done");
}

ProbeRecord ProbeCollapse(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const std::string what = "joining small pages to a huge one (MADV_COLLAPSE)";
  const std::string fallback = "frames take huge pages when they are first touched, or stay small";
  const ProbeMapping memory(calls, kHuge * 2);
  if (!memory.ok()) return RefusedRecord(what, "mmap of 4 MiB", memory.result(), fallback);
  char* page = memory.AlignedData(kHuge);
  calls(SYS_madvise, page, kHuge.count(), MADV_NOHUGEPAGE);
  page[0] = 1;  // one small page is enough to be collapsed
  calls(SYS_madvise, page, kHuge.count(), MADV_HUGEPAGE);
  const long result = calls(SYS_madvise, page, kHuge.count(), kMadvCollapse);
  return Failed(result) ? RefusedRecord(what, "madvise of 2 MiB", result, fallback)
                        : GrantedRecord(what, "madvise of 2 MiB: done");
}

ProbeRecord ProbeMemfd(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const ProbeDescriptor fd(calls, calls(SYS_memfd_create, "thermocline-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  return fd.ok()
             ? GrantedRecord("memfd", "memfd_create(MFD_ALLOW_SEALING): granted")
             : RefusedRecord("memfd", "memfd_create(MFD_ALLOW_SEALING)", fd.result(), "private anonymous memory only");
}

ProbeRecord ProbeNumaNodes(const ProbeMachine& machine) {
  const auto nodes = ReadSysfsNodes(machine.sys_root);
  const std::string fallback = "no numa: tier; a file or an emulated one";
  if (!nodes.ok()) return {"memory nodes", std::string(nodes.status().message()), fallback};
  int without_cpus = 0;
  for (const MemoryNode& node : *nodes) without_cpus += node.has_cpus ? 0 : 1;
  return {"memory nodes", absl::StrFormat("sysfs: %d, %d of them without CPUs", nodes->size(), without_cpus),
          nodes->size() > 1 ? "" : fallback};
}

ProbeRecord ProbeMbind(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const std::string fallback = "pages lie where the kernel puts them";
  const ProbeMapping memory(calls, KiB(4));
  if (!memory.ok()) return RefusedRecord("choosing a node (mbind)", "mmap of 4096 bytes", memory.result(), fallback);
  const unsigned long node_0 = 1;
  const long result = calls(SYS_mbind, memory.data(), 4096, kMpolPreferred, &node_0, 65, 0);
  return Failed(result) ? RefusedRecord("choosing a node (mbind)", "mbind to node 0", result, fallback)
                        : GrantedRecord("choosing a node (mbind)", "mbind of 4096 bytes to node 0: done");
}

ProbeRecord ProbeMovePages(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const std::string what = "moving pages between nodes (move_pages)";
  const std::string fallback = "bytes are copied";
  const ProbeMapping memory(calls, KiB(4));
  if (!memory.ok()) return RefusedRecord(what, "mmap of 4096 bytes", memory.result(), fallback);
  memory.data()[0] = 1;
  void* page = memory.data();
  const int node_0 = 0;
  int status = 0;
  const long result = calls(SYS_move_pages, 0, 1, &page, &node_0, &status, kMpolMfMove);
  if (Failed(result)) return RefusedRecord(what, "move_pages of one page to node 0", result, fallback);
  if (status < 0) return RefusedRecord(what, "move_pages of one page to node 0", status, fallback);
  return GrantedRecord(what, absl::StrCat("move_pages of one page: it lies on node ", status));
}

}  // namespace thermocline::topology

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/statfs.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/parse_units.h"
#include "src/topology/probe_support.h"
#include "src/topology/probes.h"
#include "src/topology/text_file.h"

namespace thermocline::topology {
namespace {

struct FileSystemName {
  uint32_t magic;
  const char* name;
  bool in_memory;
};
constexpr FileSystemName kFileSystems[] = {
    {0xEF53, "ext2/3/4", false}, {0x58465342, "xfs", false},      {0x9123683E, "btrfs", false},
    {0xF2F52010, "f2fs", false}, {0x2FC12FC1, "zfs", false},      {0x794C7630, "overlayfs", false},
    {0x6969, "nfs", false},      {0x4D44, "vfat", false},         {0x01021997, "9p", false},
    {0x65735546, "fuse", false}, {0xCA451A4E, "bcachefs", false}, {0x01021994, "tmpfs", true},
    {0x858458F6, "ramfs", true}, {0x958458F6, "hugetlbfs", true},
};

constexpr char kWriteThrough[] = "write through the page cache, drop it, and count what stays as fast memory";

std::string UringSysctl(const ProbeMachine& machine) {
  const auto text = ReadTextFile(absl::StrCat(machine.proc_root, "/sys/kernel/io_uring_disabled"));
  return text.ok() ? absl::StrCat("; kernel.io_uring_disabled is ", *text) : "";
}

// A file without a name in the slow directory, opened for direct I/O, or the refusal.
long OpenUnnamed(const ProbeMachine& machine, int flags) {
  return (*machine.calls)(SYS_openat, AT_FDCWD, machine.slow_directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | flags,
                          0600);
}

// Writes a page and reads it back. Returns the first failure's result, or 0; `call` names what failed.
long WriteAndRead(const SystemCalls& calls, long fd, char* page, const char** call) {
  memset(page, 0x5A, 4096);
  *call = "pwrite of 4096 bytes";
  long result = calls(SYS_pwrite64, fd, page, 4096, 0);
  if (Failed(result)) return result;
  memset(page, 0, 4096);
  *call = "pread of 4096 bytes";
  result = calls(SYS_pread64, fd, page, 4096, 0);
  if (Failed(result)) return result;
  return page[0] == 0x5A && page[4095] == 0x5A ? 0 : -EIO;
}

}  // namespace

ProbeRecord ProbeIoUring(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  io_uring_params parameters = {};
  const ProbeDescriptor ring(calls, calls(SYS_io_uring_setup, 64, &parameters));
  if (!ring.ok()) {
    ProbeRecord record = RefusedRecord("io_uring", "io_uring_setup of 64 entries", ring.result(),
                                       "threads that call preadv and pwritev");
    absl::StrAppend(&record.answer, UringSysctl(machine));
    return record;
  }
  return GrantedRecord("io_uring", absl::StrFormat("io_uring_setup: %d entries, features 0x%x", parameters.sq_entries,
                                                   parameters.features));
}

ProbeRecord ProbeSlowDirectory(const ProbeMachine& machine) {
  const std::string what = absl::StrCat("slow directory ", machine.slow_directory);
  const std::string fallback = "name another with --slow file:DIR";
  struct statfs answer = {};
  const long result = (*machine.calls)(SYS_statfs, machine.slow_directory.c_str(), &answer);
  if (Failed(result)) return RefusedRecord(what, "statfs", result, fallback);
  std::string name = absl::StrFormat("a file system of type 0x%x", static_cast<uint32_t>(answer.f_type));
  for (const FileSystemName& known : kFileSystems) {
    if (known.magic != static_cast<uint32_t>(answer.f_type)) continue;
    name = known.name;
    if (known.in_memory) {
      return {what, absl::StrCat("statfs: ", name, ", which is memory itself: putting tensors there frees none"),
              fallback};
    }
  }
  const Bytes free(static_cast<int64_t>(answer.f_bavail) * answer.f_bsize);
  return GrantedRecord(what, absl::StrCat("statfs: ", name, ", ", FormatBytes(free), " free"));
}

ProbeRecord ProbeDirectIo(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const std::string what = absl::StrCat("O_DIRECT in ", machine.slow_directory);
  const ProbeMapping page(calls, KiB(4));
  if (!page.ok()) return RefusedRecord(what, "mmap of 4096 bytes", page.result(), kWriteThrough);
  const ProbeDescriptor fd(calls, OpenUnnamed(machine, O_DIRECT));
  if (!fd.ok()) {
    const ProbeDescriptor cached(calls, OpenUnnamed(machine, 0));
    return RefusedRecord(what, "open(O_TMPFILE | O_DIRECT)", fd.result(),
                         cached.ok() ? kWriteThrough : "a named file, unlinked at once; else name another directory");
  }
  const char* call = "";
  const long result = WriteAndRead(calls, fd.result(), page.data(), &call);
  if (Failed(result)) return RefusedRecord(what, call, result, kWriteThrough);
  return GrantedRecord(what, "wrote and read back 4096 bytes past the page cache");
}

}  // namespace thermocline::topology

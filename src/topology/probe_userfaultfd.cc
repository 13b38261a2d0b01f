#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/topology/probe_support.h"
#include "src/topology/probes.h"
#include "src/topology/text_file.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)  // Linux 6.1; older headers lack it
#endif

namespace thermocline::topology {
namespace {

constexpr int kUserModeOnly = 1;             // UFFD_USER_MODE_ONLY
constexpr uint64_t kFeatureMove = 1u << 16;  // Linux 6.8; the headers of Debian 12 lack it

constexpr char kProtection[] = "missing granules are caught by page protection and SIGSEGV";
constexpr char kInterposed[] =
    "libc calls under `thermocline run` keep their buffers resident; a raw system call on an absent granule gets "
    "EFAULT";

std::string Sysctl(const ProbeMachine& machine) {
  const auto text = ReadTextFile(absl::StrCat(machine.proc_root, "/sys/vm/unprivileged_userfaultfd"));
  return text.ok() ? absl::StrCat("vm.unprivileged_userfaultfd is ", *text) : "there is no vm.unprivileged_userfaultfd";
}

// The kernel's features of a fresh userfaultfd, or the refusal.
long Features(const ProbeMachine& machine, long fd, uint64_t* features) {
  uffdio_api api = {};
  api.api = UFFD_API;
  const long result = (*machine.calls)(SYS_ioctl, fd, UFFDIO_API, &api);
  *features = api.features;
  return result;
}

ProbeRecord FromDescriptor(const ProbeMachine& machine, std::string what, const char* call, const ProbeDescriptor& fd,
                           const char* fallback) {
  if (!fd.ok()) {
    ProbeRecord record = RefusedRecord(std::move(what), call, fd.result(), fallback);
    absl::StrAppend(&record.answer, "; ", Sysctl(machine));
    return record;
  }
  uint64_t features = 0;
  const long result = Features(machine, fd.result(), &features);
  if (Failed(result)) return RefusedRecord(std::move(what), "UFFDIO_API", result, fallback);
  return GrantedRecord(std::move(what), absl::StrFormat("%s: granted, features 0x%x", call, features));
}

}  // namespace

ProbeRecord ProbeUserfaultfdUserMode(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const ProbeDescriptor fd(calls, calls(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUserModeOnly));
  return FromDescriptor(machine, "userfaultfd, faults of user code", "userfaultfd(UFFD_USER_MODE_ONLY)", fd,
                        kProtection);
}

ProbeRecord ProbeUserfaultfdKernelMode(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const ProbeDescriptor fd(calls, calls(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  return FromDescriptor(machine, "userfaultfd, faults of system calls too", "userfaultfd()", fd, kInterposed);
}

ProbeRecord ProbeUserfaultfdDevice(const ProbeMachine& machine) {
  const SystemCalls& calls = *machine.calls;
  const std::string path = absl::StrCat(machine.dev_root, "/userfaultfd");
  const std::string what = "userfaultfd through its device";
  const ProbeDescriptor device(calls, calls(SYS_openat, AT_FDCWD, path.c_str(), O_RDWR | O_CLOEXEC, 0));
  if (!device.ok()) return RefusedRecord(what, absl::StrCat("open ", path), device.result(), kInterposed);
  const ProbeDescriptor fd(calls, calls(SYS_ioctl, device.result(), USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK));
  return FromDescriptor(machine, what, "USERFAULTFD_IOC_NEW", fd, kInterposed);
}

std::vector<ProbeRecord> ProbeUserfaultfdFeatures(const ProbeMachine& machine) {
  struct Wanted {
    uint64_t bit;
    const char* what;
    const char* fallback;
  };
  static constexpr Wanted kWanted[] = {
      {UFFD_FEATURE_MINOR_SHMEM, "userfaultfd: minor faults of shared memory", "profiling by page protection"},
      {UFFD_FEATURE_SIGBUS, "userfaultfd: SIGBUS in the faulting thread", "profiling by page protection"},
      {UFFD_FEATURE_PAGEFAULT_FLAG_WP, "userfaultfd: write protection", "page protection finds writes"},
      {kFeatureMove, "userfaultfd: UFFDIO_MOVE (Linux 6.8), which refuses pages the kernel holds",
       "frames move by mremap; buffers that the kernel or a device holds must be pinned with tc_pin"},
  };
  const SystemCalls& calls = *machine.calls;
  uint64_t features = 0;
  const ProbeDescriptor fd(calls, calls(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUserModeOnly));
  const long result = fd.ok() ? Features(machine, fd.result(), &features) : fd.result();
  std::vector<ProbeRecord> records;
  for (const Wanted& wanted : kWanted) {
    if (Failed(result)) {
      records.push_back(RefusedRecord(wanted.what, fd.ok() ? "UFFDIO_API" : "userfaultfd", result, wanted.fallback));
      continue;
    }
    const bool has = (features & wanted.bit) != 0;
    records.push_back({wanted.what, absl::StrFormat("UFFDIO_API: bit 0x%x %s", wanted.bit, has ? "set" : "not set"),
                       has ? "" : wanted.fallback});
  }
  return records;
}

}  // namespace thermocline::topology

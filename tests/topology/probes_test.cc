#include "src/topology/probes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <string>

#include "tests/topology/fake_system_calls.h"

namespace thermocline::topology {
namespace {

using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kFixtures = THERMOCLINE_FIXTURES;

auto Answers(const std::string& text) { return Field("answer", &ProbeRecord::answer, HasSubstr(text)); }
auto FallsBackTo(const std::string& text) { return Field("fallback", &ProbeRecord::fallback, HasSubstr(text)); }
auto IsFirstChoice() { return Field("fallback", &ProbeRecord::fallback, IsEmpty()); }

ProbeMachine SmallMachine() {
  ProbeMachine machine;
  machine.proc_root = kFixtures + "/small/proc";
  machine.sys_root = kFixtures + "/small/sys";
  machine.dev_root = kFixtures + "/small/dev";
  return machine;
}

int OpenDescriptors() {
  int count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

TEST(ProbesTest, EveryProbeSaysWhatItTriedAndWhatTheSystemAnswered) {
  for (const ProbeSection& section : ProbeAll(ProbeMachine{})) {
    EXPECT_FALSE(section.title.empty());
    EXPECT_FALSE(section.records.empty()) << section.title;
    for (const ProbeRecord& record : section.records) {
      EXPECT_FALSE(record.what.empty()) << section.title;
      EXPECT_FALSE(record.answer.empty()) << record.what;
    }
  }
}

TEST(ProbesTest, LeavesNoDescriptorAndNoMappingBehind) {
  RefusingSystemCalls calls;
  ProbeMachine machine;
  machine.calls = &calls;
  machine.cuda_library = "no_such_library.so";
  ProbeAll(machine);  // what the C library opens once is open now
  const int before = OpenDescriptors();
  const int mapped = calls.CallsOf(SYS_mmap) - calls.CallsOf(SYS_munmap);
  ProbeAll(machine);
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_EQ(calls.CallsOf(SYS_mmap) - calls.CallsOf(SYS_munmap), mapped);
  EXPECT_EQ(mapped, 0);
}

TEST(ProbesTest, EveryRefusalHasItsErrnoAndAFallback) {
  RefusingSystemCalls calls;
  for (long number : {SYS_userfaultfd, SYS_io_uring_setup, SYS_memfd_create, SYS_mbind, SYS_move_pages,
                      SYS_perf_event_open, SYS_mremap}) {
    calls.Refuse(number, EPERM);
  }
  ProbeMachine machine;
  machine.calls = &calls;
  for (const ProbeRecord& record :
       {ProbeUserfaultfdUserMode(machine), ProbeUserfaultfdKernelMode(machine), ProbeIoUring(machine),
        ProbeMemfd(machine), ProbeMbind(machine), ProbeMovePages(machine), ProbePerformanceCounters(machine),
        ProbeHugePageRemap(machine)}) {
    EXPECT_THAT(record, Answers("EPERM (Operation not permitted)")) << record.what;
    EXPECT_FALSE(record.fallback.empty()) << record.what;
  }
}

TEST(KernelProbeTest, AKernelBelow61IsToldSo) {
  RefusingSystemCalls calls;
  calls.AnswerWith(SYS_uname, [](const long(&a)[6]) {
    strcpy(reinterpret_cast<struct utsname*>(a[0])->release, "5.10.0-27-amd64");
    return 0L;
  });
  ProbeMachine machine;
  machine.calls = &calls;
  EXPECT_THAT(ProbeKernel(machine), AllOf(Answers("5.10.0-27-amd64"), FallsBackTo("older than Linux 6.1")));
}

TEST(KernelProbeTest, AKernelFrom61OnIsFine) {
  for (const char* release : {"6.1.0-18-cloud-amd64", "6.18.2", "7.0.0"}) {
    RefusingSystemCalls calls;
    calls.AnswerWith(SYS_uname, [release](const long(&a)[6]) {
      strcpy(reinterpret_cast<struct utsname*>(a[0])->release, release);
      return 0L;
    });
    ProbeMachine machine;
    machine.calls = &calls;
    EXPECT_THAT(ProbeKernel(machine), IsFirstChoice()) << release;
  }
}

TEST(KernelProbeTest, ASeccompFilterIsSeen) {
  EXPECT_THAT(ProbeSeccomp(SmallMachine()), AllOf(Answers("mode 2"), Not(IsFirstChoice())));
}

TEST(KernelProbeTest, FewMappingsMeanLargerGranules) {
  EXPECT_THAT(ProbeMaxMapCount(SmallMachine()), AllOf(Answers("1024"), FallsBackTo("larger granules")));
}

TEST(KernelProbeTest, StrictOvercommitIsSeen) {
  EXPECT_THAT(ProbeOvercommit(SmallMachine()), AllOf(Answers("is 2"), Not(IsFirstChoice())));
}

TEST(KernelProbeTest, TheTightestLimitAboveAnEmptyOneHolds) {
  EXPECT_THAT(ProbeCgroupLimit(SmallMachine()), Answers("cgroup v2: 1.00 GiB"));
}

TEST(KernelProbeTest, ACgroupOfVersion1IsReadToo) {
  ProbeMachine machine;
  machine.proc_root = kFixtures + "/v1/proc";
  machine.sys_root = kFixtures + "/v1/sys";
  EXPECT_THAT(ProbeCgroupLimit(machine), Answers("cgroup v1: 512 MiB"));
}

TEST(KernelProbeTest, TheLockedMemoryLimitHoldsUnlessACapabilityLiftsIt) {
  RefusingSystemCalls calls;
  calls.AnswerWith(SYS_prlimit64, [](const long(&a)[6]) {
    *reinterpret_cast<struct rlimit*>(a[3]) = {8 << 20, 8 << 20};
    return 0L;
  });
  ProbeMachine machine = SmallMachine();
  machine.calls = &calls;
  EXPECT_THAT(ProbeLockedMemoryLimit(machine), AllOf(Answers("8.00 MiB"), Not(IsFirstChoice())));
  machine.proc_root = kFixtures + "/v1/proc";
  EXPECT_THAT(ProbeLockedMemoryLimit(machine), AllOf(Answers("CAP_IPC_LOCK"), IsFirstChoice()));
}

TEST(MemoryProbeTest, HugePagesThatAreOffAreToldSo) {
  EXPECT_THAT(ProbeHugePageMode(SmallMachine()), AllOf(Answers("enabled is never"), FallsBackTo("4 KiB")));
}

TEST(MemoryProbeTest, FramesMoveWithoutACopyHere) {
  EXPECT_THAT(ProbeHugePageRemap(ProbeMachine{}), AllOf(Answers("us"), IsFirstChoice()));
}

TEST(MemoryProbeTest, APageThatDidNotMoveIsNoSuccess) {
  RefusingSystemCalls calls;
  calls.AnswerWith(SYS_move_pages, [](const long(&a)[6]) {
    *reinterpret_cast<int*>(a[4]) = -ENOMEM;
    return 0L;
  });
  ProbeMachine machine;
  machine.calls = &calls;
  EXPECT_THAT(ProbeMovePages(machine), AllOf(Answers("ENOMEM"), Not(IsFirstChoice())));
}

TEST(MemoryProbeTest, OneNodeMeansNoNumaTier) {
  EXPECT_THAT(ProbeNumaNodes(SmallMachine()), FallsBackTo("no numa: tier"));
  ProbeMachine machine;
  machine.sys_root = kFixtures + "/cxl";
  EXPECT_THAT(ProbeNumaNodes(machine), AllOf(Answers("2, 1 of them without CPUs"), IsFirstChoice()));
}

TEST(UserfaultfdProbeTest, ARefusalNamesTheSysctl) {
  RefusingSystemCalls calls;
  calls.Refuse(SYS_userfaultfd, EPERM);
  ProbeMachine machine = SmallMachine();
  machine.calls = &calls;
  EXPECT_THAT(ProbeUserfaultfdKernelMode(machine),
              AllOf(Answers("EPERM"), Answers("vm.unprivileged_userfaultfd is 0"), FallsBackTo("libc calls")));
}

TEST(UserfaultfdProbeTest, AnAbsentDeviceIsNamed) {
  EXPECT_THAT(ProbeUserfaultfdDevice(SmallMachine()), AllOf(Answers("small/dev/userfaultfd"), Answers("ENOENT")));
}

TEST(UserfaultfdProbeTest, TellsTheFeaturesApart) {
  RefusingSystemCalls calls;
  calls.AnswerWith(SYS_userfaultfd, [](const long(&)[6]) -> long { return memfd_create("stand-in", MFD_CLOEXEC); });
  calls.AnswerWith(SYS_ioctl, [](const long(&a)[6]) {
    reinterpret_cast<uffdio_api*>(a[2])->features = UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_SIGBUS;
    return 0L;
  });
  ProbeMachine machine;
  machine.calls = &calls;
  const auto records = ProbeUserfaultfdFeatures(machine);
  ASSERT_EQ(records.size(), 4);
  EXPECT_THAT(records[0], IsFirstChoice());
  EXPECT_THAT(records[1], IsFirstChoice());
  EXPECT_THAT(records[2], FallsBackTo("page protection"));
  EXPECT_THAT(records[3], FallsBackTo("tc_pin"));
}

TEST(DiskProbeTest, AMemoryBackedSlowDirectoryIsRefused) {
  RefusingSystemCalls calls;
  calls.AnswerWith(SYS_statfs, [](const long(&a)[6]) {
    reinterpret_cast<struct statfs*>(a[1])->f_type = TMPFS_MAGIC;
    return 0L;
  });
  ProbeMachine machine;
  machine.calls = &calls;
  EXPECT_THAT(ProbeSlowDirectory(machine), AllOf(Answers("tmpfs"), FallsBackTo("--slow file:DIR")));
}

TEST(DiskProbeTest, AMissingSlowDirectoryIsNamed) {
  ProbeMachine machine;
  machine.slow_directory = kFixtures + "/no_such_directory";
  EXPECT_THAT(ProbeSlowDirectory(machine), Answers("ENOENT"));
  EXPECT_THAT(ProbeSlowDirectory(machine).what, HasSubstr("no_such_directory"));
}

TEST(DiskProbeTest, WithoutDirectIoTheCacheCountsAsFast) {
  RefusingSystemCalls calls;
  calls.AnswerWith(SYS_openat, [](const long(&a)[6]) -> long {
    if ((a[2] & O_DIRECT) != 0) return -EINVAL;
    return RealSystemCalls().Call(SYS_openat, a);
  });
  ProbeMachine machine;
  machine.calls = &calls;
  machine.slow_directory = "/var/tmp";
  EXPECT_THAT(ProbeDirectIo(machine), AllOf(Answers("EINVAL"), FallsBackTo("count what stays as fast memory")));
}

TEST(DiskProbeTest, AWriteThatFailsIsNamed) {
  RefusingSystemCalls calls;
  calls.AnswerWith(SYS_openat, [](const long(&)[6]) -> long { return memfd_create("stand-in", MFD_CLOEXEC); });
  calls.Refuse(SYS_pwrite64, EIO);
  ProbeMachine machine;
  machine.calls = &calls;
  EXPECT_THAT(ProbeDirectIo(machine), AllOf(Answers("pwrite of 4096 bytes"), Answers("EIO")));
}

TEST(DiskProbeTest, ADiskThatReturnsOtherBytesIsNotUsedDirectly) {
  RefusingSystemCalls calls;
  calls.AnswerWith(SYS_openat, [](const long(&)[6]) -> long { return memfd_create("stand-in", MFD_CLOEXEC); });
  calls.AnswerWith(SYS_pread64, [](const long(&)[6]) { return 4096L; });
  ProbeMachine machine;
  machine.calls = &calls;
  EXPECT_THAT(ProbeDirectIo(machine), AllOf(Answers("EIO"), Not(IsFirstChoice())));
}

TEST(DiskProbeTest, AForbiddenIoUringNamesTheSysctl) {
  RefusingSystemCalls calls;
  calls.Refuse(SYS_io_uring_setup, EPERM);
  ProbeMachine machine = SmallMachine();
  machine.calls = &calls;
  EXPECT_THAT(ProbeIoUring(machine),
              AllOf(Answers("EPERM"), Answers("io_uring_disabled is 2"), FallsBackTo("pwritev")));
}

TEST(CudaProbeTest, AMachineWithoutADriverHasNoGpuTier) {
  ProbeMachine machine;
  machine.cuda_library = "no_such_library.so";
  EXPECT_THAT(ProbeCudaDriver(machine), AllOf(Answers("no_such_library.so"), FallsBackTo("no GPU tier")));
}

TEST(CudaProbeTest, ADriverIsAskedForItsVersionAndDevices) {
  ProbeMachine machine;
  machine.cuda_library = THERMOCLINE_FAKE_CUDA;
  EXPECT_THAT(ProbeCudaDriver(machine), AllOf(Answers("CUDA 13.2, 2 device(s)"), IsFirstChoice()));
}

TEST(CudaProbeTest, ALibraryThatIsNoDriverIsRefused) {
  ProbeMachine machine;
  machine.cuda_library = "libc.so.6";
  EXPECT_THAT(ProbeCudaDriver(machine), AllOf(Answers("lacks cuInit"), FallsBackTo("no GPU tier")));
}

}  // namespace
}  // namespace thermocline::topology

#include "src/os/userfaultfd.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/os/fault_signal.h"

namespace thermocline::os {
namespace {

using ::testing::HasSubstr;
namespace feature = userfault_feature;

constexpr int64_t kPage = 4096;

// A kernel that answers as it is told, and counts open descriptors.
class ScriptedCalls final : public UserfaultCalls {
 public:
  long Userfaultfd(int flags) override { return Opened((flags & UFFD_USER_MODE_ONLY) != 0 ? user_mode : kernel_mode); }
  long OpenDevice() override { return Opened(device); }
  long Ioctl(int, unsigned long request, void* argument) override {
    requests.push_back(request);
    if (request == UFFDIO_API) {
      auto* api = static_cast<uffdio_api*>(argument);
      if ((api->features & ~features) != 0) return -EINVAL;
      api->features = features;
      return 0;
    }
    if (request == USERFAULTFD_IOC_NEW) return Opened(from_device);
    return answer;
  }
  long Read(int, void*, size_t) override { return answer; }
  void Close(int) override { --open; }

  long user_mode = 0, kernel_mode = 0, device = 0, from_device = 0;  // 0, or minus an errno
  uint64_t features = 0;
  long answer = 0;
  int open = 0;
  std::vector<unsigned long> requests;

 private:
  long Opened(long result) { return result < 0 ? result : 100 + open++; }
};

TEST(UserfaultfdOpen, KernelFaultsComeThroughTheDeviceWhereTheCallIsRefused) {
  ScriptedCalls calls;
  calls.kernel_mode = -EPERM;
  calls.features = feature::kSigbus;
  {
    auto opened = Userfaultfd::Open(FaultScope::kKernelFaults, feature::kSigbus, calls);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(calls.requests.front(), static_cast<unsigned long>(USERFAULTFD_IOC_NEW));
    EXPECT_EQ(calls.open, 1) << "the device itself is closed";
  }
  EXPECT_EQ(calls.open, 0);
}

TEST(UserfaultfdOpen, ARefusalNamesEveryCallThatWasTriedAndWhatWouldHelp) {
  ScriptedCalls calls;
  calls.kernel_mode = -EPERM;
  calls.device = -EACCES;
  const absl::Status status = Userfaultfd::Open(FaultScope::kKernelFaults, 0, calls).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("userfaultfd()"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/dev/userfaultfd"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("CAP_SYS_PTRACE"));
  calls.user_mode = -ENOSYS;
  EXPECT_TRUE(absl::IsUnimplemented(Userfaultfd::Open(FaultScope::kUserFaults, 0, calls).status()));
}

TEST(UserfaultfdOpen, AMissingFeatureIsRefusedAndLeavesNothingOpen) {
  ScriptedCalls calls;
  calls.features = feature::kSigbus;
  const absl::Status status = Userfaultfd::Open(FaultScope::kUserFaults, feature::kMove, calls).status();
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("0x10000"));
  EXPECT_EQ(calls.open, 0);
  EXPECT_EQ(*Userfaultfd::SupportedFeatures(FaultScope::kUserFaults, calls), feature::kSigbus);
  EXPECT_EQ(calls.open, 0);
}

TEST(UserfaultfdOpen, TheKernelsErrnoIsHandedOn) {
  ScriptedCalls calls;
  auto opened = Userfaultfd::Open(FaultScope::kUserFaults, 0, calls);
  ASSERT_TRUE(opened.ok());
  calls.answer = -EBUSY;
  char* const at = nullptr;
  EXPECT_EQ(opened->Move(at, at, MiB(2), false), EBUSY);
  EXPECT_EQ(opened->Register(at, MiB(2), kMissing), EBUSY);
  EXPECT_EQ(opened->Unregister(at, MiB(2)), EBUSY);
  EXPECT_EQ(opened->WriteProtect(at, MiB(2)), EBUSY);
  EXPECT_EQ(opened->WriteUnprotect(at, MiB(2)), EBUSY);
  EXPECT_EQ(opened->Wake(at, MiB(2)), EBUSY);
  UserfaultEvent event;
  EXPECT_EQ(opened->ReadEvents(absl::MakeSpan(&event, 1)), -EBUSY);
  calls.answer = -EAGAIN;
  EXPECT_EQ(opened->ReadEvents(absl::MakeSpan(&event, 1)), 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// On the kernel at hand. Every kernel from 6.1 on has what is asked for here, for every process; where a filter forbids
// the call, that answer is all there is to see.

constexpr char kNeeds[] = "needs a system whose seccomp filter allows userfaultfd";

class RealUserfaultfdTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (auto [at, size] : mappings_) munmap(at, size);
  }
  Userfaultfd* Open(uint64_t features) {
    auto opened = Userfaultfd::Open(FaultScope::kUserFaults, features);
    if (!opened.ok()) return nullptr;
    opened_ = std::make_unique<Userfaultfd>(*std::move(opened));
    return opened_.get();
  }
  char* Map(int64_t pages, int descriptor = -1) {
    const int kind = descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void* at = mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, kind, descriptor, 0);
    EXPECT_NE(at, MAP_FAILED);
    mappings_.emplace_back(at, pages * kPage);
    return static_cast<char*>(at);
  }

  std::unique_ptr<Userfaultfd> opened_;
  std::vector<std::pair<void*, size_t>> mappings_;
};

// Serves faults in the thread that takes them.
class InPlace final : public FaultHandler {
 public:
  explicit InPlace(std::function<void(char*, FaultAccess)> serve) : serve_(std::move(serve)) {}
  ~InPlace() override { UnregisterFaultRange(this); }
  FaultOutcome OnFault(char* address, FaultAccess access, const InterruptedCode&) override {
    ++faults;
    serve_(address - reinterpret_cast<uintptr_t>(address) % kPage, access);
    return FaultOutcome::kResolved;
  }
  int faults = 0;

 private:
  std::function<void(char*, FaultAccess)> serve_;
};

TEST_F(RealUserfaultfdTest, AMissingPageIsFilledByAnotherThreadWhileTheTouchSleeps) {
  Userfaultfd* const uffd = Open(0);
  if (uffd == nullptr) GTEST_SKIP() << kNeeds;
  char* const at = Map(2);
  std::vector<char> content(kPage, 'x');
  ASSERT_EQ(uffd->Register(at, Bytes(2 * kPage), kMissing), 0);
  UserfaultEvent event;
  std::thread server([&] {
    pollfd ready = {uffd->descriptor(), POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, 10'000), 1);
    ASSERT_EQ(uffd->ReadEvents(absl::MakeSpan(&event, 1)), 1);
    ASSERT_EQ(uffd->Copy(event.address, content.data(), Bytes(kPage), {}), 0);
  });
  volatile char* const touched = at + kPage + 5;
  EXPECT_EQ(*touched, 'x');
  server.join();
  EXPECT_EQ(event.kind, UserfaultEvent::Kind::kFault);
  EXPECT_EQ(event.address, at + kPage);
  EXPECT_FALSE(event.write);
  EXPECT_EQ(uffd->ZeroPage(at + kPage, Bytes(kPage)), EEXIST);
  Bytes done;
  EXPECT_EQ(uffd->ZeroPage(at, Bytes(kPage), true, &done), 0);
  EXPECT_EQ(done, Bytes(kPage));
  EXPECT_EQ(uffd->Unregister(at, Bytes(2 * kPage)), 0);
}

TEST_F(RealUserfaultfdTest, AMinorFaultIsContinuedByTheFaultingThreadItself) {
  Userfaultfd* const uffd = Open(feature::kSigbus | feature::kMinorShared);
  if (uffd == nullptr) GTEST_SKIP() << kNeeds;
  const int memfd = static_cast<int>(syscall(SYS_memfd_create, "minor", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(memfd, 4 * kPage), 0);
  char* const writer = Map(4, memfd);
  char* const at = Map(4, memfd);
  close(memfd);
  std::memset(writer, 'm', 4 * kPage);
  ASSERT_EQ(uffd->Register(at, Bytes(4 * kPage), kMinor), 0);
  InPlace handler([&](char* page, FaultAccess) { EXPECT_EQ(uffd->Continue(page, Bytes(kPage), {}), 0); });
  ASSERT_TRUE(RegisterFaultRange(at, at + 4 * kPage, &handler).ok());
  volatile char* const touched = at;
  EXPECT_EQ(touched[0], 'm');
  EXPECT_EQ(touched[1], 'm');
  touched[3 * kPage] = 'n';
  EXPECT_EQ(writer[3 * kPage], 'n');
  EXPECT_EQ(handler.faults, 2);
  // Dropping the page-table entries arms it again and keeps the bytes.
  ASSERT_EQ(madvise(at, 4 * kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(touched[3 * kPage], 'n');
  EXPECT_EQ(handler.faults, 3);
}

TEST_F(RealUserfaultfdTest, AWriteToAProtectedPageFaultsAndAReadDoesNot) {
  Userfaultfd* const uffd = Open(feature::kSigbus | feature::kWriteProtect);
  if (uffd == nullptr) GTEST_SKIP() << kNeeds;
  char* const at = Map(1);
  at[0] = 'a';
  ASSERT_EQ(uffd->Register(at, Bytes(kPage), kWriteProtect), 0);
  ASSERT_EQ(uffd->WriteProtect(at, Bytes(kPage)), 0);
  std::vector<FaultAccess> seen;
  seen.reserve(4);
  InPlace handler([&](char* page, FaultAccess access) {
    seen.push_back(access);
    EXPECT_EQ(uffd->WriteUnprotect(page, Bytes(kPage)), 0);
  });
  ASSERT_TRUE(RegisterFaultRange(at, at + kPage, &handler).ok());
  volatile char* const touched = at;
  EXPECT_EQ(touched[0], 'a');
  EXPECT_TRUE(seen.empty());
  touched[0] = 'b';
  EXPECT_EQ(seen, std::vector<FaultAccess>{FaultAccess::kWrite});
}

TEST_F(RealUserfaultfdTest, MoveTakesPagesAlongWhereTheKernelHasIt) {
  Userfaultfd* const uffd = Open(0);
  if (uffd == nullptr) GTEST_SKIP() << kNeeds;
  char* const from = Map(1);
  char* const to = Map(1);
  from[7] = 'v';
  ASSERT_EQ(uffd->Register(to, Bytes(kPage), kMissing), 0);
  Bytes done;
  if (!uffd->Has(feature::kMove)) {
    EXPECT_EQ(uffd->Move(to, from, Bytes(kPage), false, true, &done), EINVAL);
    return;
  }
  EXPECT_EQ(uffd->Move(to, from, Bytes(kPage), false, true, &done), 0);
  EXPECT_EQ(done, Bytes(kPage));
  EXPECT_EQ(to[7], 'v');
}

}  // namespace
}  // namespace thermocline::os

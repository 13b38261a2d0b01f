// Which memory is chosen by wish and by what a kernel answers, and what `thermocline doctor` says of it.
#include "src/os/choose_memory.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace thermocline::os {
namespace {

using ::testing::HasSubstr;
namespace feature = userfault_feature;

// A kernel that grants or refuses, and has some features.
class Kernel final : public UserfaultCalls {
 public:
  Kernel(bool kernel_faults, uint64_t features) : kernel_faults_(kernel_faults), features_(features) {}
  long Userfaultfd(int flags) override { return (flags & UFFD_USER_MODE_ONLY) != 0 || kernel_faults_ ? 100 : -EPERM; }
  long OpenDevice() override { return -EACCES; }
  long Ioctl(int, unsigned long request, void* argument) override {
    if (request != UFFDIO_API) return 0;
    auto* const api = static_cast<uffdio_api*>(argument);
    if ((api->features & ~features_) != 0) return -EINVAL;
    api->features = features_;
    return 0;
  }
  long Read(int, void*, size_t) override { return -EAGAIN; }
  void Close(int) override {}

 private:
  const bool kernel_faults_;
  const uint64_t features_;
};

constexpr uint64_t kLinux61 = feature::kWriteProtect | feature::kEventRemap | feature::kSigbus;
constexpr uint64_t kLinux68 = kLinux61 | feature::kMove;

TEST(ChooseMemory, WithoutPrivilegeOrANewKernelItIsTheRealOne) {
  Kernel kernel(/*kernel_faults=*/false, kLinux61);
  const auto made = MakeWatchedMemory("auto", true, kernel);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*made, nullptr);
}

TEST(ChooseMemory, FramesThatTheKernelHoldsAreToldFromLinux68On) {
  Kernel kernel(/*kernel_faults=*/false, kLinux68);
  const auto made = MakeWatchedMemory("auto", true, kernel);
  ASSERT_TRUE(made.ok() && *made != nullptr);
  EXPECT_TRUE((*made)->tells_held_frames());
  EXPECT_EQ(*MakeWatchedMemory("auto", false, kernel), nullptr);
}

TEST(ChooseMemory, KernelFaultsNeedNoMoreThanLinux61) {
  Kernel kernel(/*kernel_faults=*/true, kLinux61);
  const auto made = MakeWatchedMemory("on", true, kernel);
  ASSERT_TRUE(made.ok() && *made != nullptr) << made.status();
  EXPECT_FALSE((*made)->tells_held_frames());
}

TEST(ChooseMemory, WhoInsistsOnKernelFaultsIsToldWhatTheyNeed) {
  Kernel kernel(/*kernel_faults=*/false, kLinux68);
  const absl::Status status = MakeWatchedMemory("on", true, kernel).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("CAP_SYS_PTRACE"));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeWatchedMemory("maybe", true, kernel).status()));
}

TEST(ChooseMemory, DoctorSaysWhatIsInUseAndWhatIsTheProgramsDuty) {
  Kernel old_kernel(/*kernel_faults=*/false, kLinux61);
  const auto refused = ProbeWatchedMemory("auto", false, old_kernel);
  ASSERT_EQ(refused.size(), 2u);
  EXPECT_THAT(refused[0].fallback, HasSubstr("EFAULT"));
  EXPECT_THAT(refused[1].fallback, HasSubstr("tc_pin"));
  Kernel new_kernel(/*kernel_faults=*/true, kLinux68);
  EXPECT_THAT(ProbeWatchedMemory("auto", false, new_kernel)[0].fallback, HasSubstr("THERMOCLINE_KERNEL_FAULTS=on"));
  EXPECT_EQ(ProbeWatchedMemory("on", false, new_kernel)[0].fallback, "");
}

TEST(ChooseMemory, DoctorSaysIfHeldFramesAreToldWhyNotAndWhatToDo) {
  Kernel new_kernel(/*kernel_faults=*/true, kLinux68);
  const ProbeRecord by_default = ProbeWatchedMemory("auto", /*held_frames=*/false, new_kernel)[1];
  EXPECT_TRUE(by_default.not_default);
  for (const char* part : {"not told", "HELD_FRAMES is off, the default", "UFFDIO_MOVE is young", "tc_pin",
                           "THERMOCLINE_HELD_FRAMES=on"}) {
    EXPECT_THAT(by_default.fallback, HasSubstr(part));
  }
  const ProbeRecord wanted = ProbeWatchedMemory("auto", /*held_frames=*/true, new_kernel)[1];
  EXPECT_THAT(wanted.answer, HasSubstr("in use"));
  EXPECT_EQ(wanted.fallback, "");
  Kernel old_kernel(/*kernel_faults=*/false, kLinux61);
  const ProbeRecord in_vain = ProbeWatchedMemory("auto", /*held_frames=*/true, old_kernel)[1];
  EXPECT_THAT(in_vain.answer, HasSubstr("lacks UFFDIO_MOVE"));
  EXPECT_THAT(in_vain.fallback, HasSubstr("not told, though"));
  EXPECT_THAT(in_vain.fallback, HasSubstr("tc_pin"));
}

}  // namespace
}  // namespace thermocline::os

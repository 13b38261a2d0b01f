// The profiler userfaultfd on a kernel before Linux 6.4, where a part is mapped first and write-protected next: what
// another thread writes between the two is not lost.
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <functional>
#include <utility>

#include "src/arena/access_recorder.h"
#include "src/profile/userfaultfd_gate.h"
#include "tests/migrate/mover_fixture.h"

namespace thermocline::migrate {
namespace {

// The real calls, but that UFFDIO_CONTINUE knows no write protection; after each that has mapped something `mapped` is
// called once.
class Before64 final : public os::UserfaultCalls {
 public:
  long Userfaultfd(int flags) override { return real_.Userfaultfd(flags); }
  long OpenDevice() override { return real_.OpenDevice(); }
  long Ioctl(int descriptor, unsigned long request, void* argument) override {
    if (request != UFFDIO_CONTINUE) return real_.Ioctl(descriptor, request, argument);
    constexpr uint64_t kKnown = UFFDIO_CONTINUE_MODE_DONTWAKE;
    if ((static_cast<const uffdio_continue*>(argument)->mode & ~kKnown) != 0) return -EINVAL;
    const long result = real_.Ioctl(descriptor, request, argument);
    if (result == 0 && mapped != nullptr) std::exchange(mapped, nullptr)();
    return result;
  }
  long Read(int descriptor, void* buffer, size_t size) override { return real_.Read(descriptor, buffer, size); }
  void Close(int descriptor) override { real_.Close(descriptor); }

  std::function<void()> mapped;

 private:
  os::UserfaultCalls& real_ = os::RealUserfaultCalls();
};

class PageByPage final : public arena::AccessRecorder {
 public:
  Window OnTouch(char* address, os::FaultAccess access) override {
    ++(access == os::FaultAccess::kWrite ? writes : reads);
    char* const page = address - reinterpret_cast<uintptr_t>(address) % 4096;
    return {page, page + 4096};
  }
  std::atomic<int> reads{0}, writes{0};
};

class GateBefore64 : public MoverTest {
 protected:
  GateBefore64() {
    auto gate = profile::UserfaultGate::Create(memory_, calls_);
    status_ = gate.status();
    if (gate.ok()) gate_ = *std::move(gate);
  }
  void SetUp() override {
    if (gate_ == nullptr) GTEST_SKIP() << "needs a kernel that has this profiler and allows it: " << status_;
  }
  char* NewClean(char fill) {
    char* const pointer = New(fill);
    WriteBack(pointer);
    Step();
    EXPECT_TRUE(IsClean(pointer));
    return pointer;
  }
  void BeginProfiling() {
    residency_->SetAccessGate(gate_.get());
    residency_->Arm(&recorder_);
  }
  void EndProfiling() {
    residency_->Disarm();
    residency_->SetAccessGate(nullptr);
  }

  Before64 calls_;
  PageByPage recorder_;
  absl::Status status_;
  std::unique_ptr<profile::UserfaultGate> gate_;
};

TEST_F(GateBefore64, AReadAndThenAWriteAreBothSeen) {
  char* const a = NewClean('a');
  BeginProfiling();
  Elsewhere([a] { EXPECT_EQ(*static_cast<volatile char*>(a), 'a'); });
  EXPECT_EQ(recorder_.reads, 1);
  EXPECT_EQ(recorder_.writes, 0);
  Elsewhere([a] { *static_cast<volatile char*>(a + 6) = 'c'; });
  EXPECT_EQ(recorder_.writes, 1);
  EndProfiling();
  Free(a);
  ExpectNothingLeft();
}

TEST_F(GateBefore64, AWriteThatCouldNotBeSeenIsNotLost) {
  char* const a = NewClean('a');
  char* const untouched = NewClean('u');
  BeginProfiling();
  calls_.mapped = [a] { *static_cast<volatile char*>(a + 5) = 'x'; };
  Elsewhere([a] { EXPECT_EQ(*static_cast<volatile char*>(a), 'a'); });
  EXPECT_EQ(calls_.mapped, nullptr);
  EXPECT_EQ(recorder_.writes, 0) << "it was seen after all";
  EXPECT_TRUE(IsClean(untouched));
  EndProfiling();
  Evict(a);
  Step();
  ASSERT_EQ(Where(a), Presence::kHole);
  Elsewhere([a] { EXPECT_EQ(a[5], 'x'); });
  EXPECT_TRUE(Holds(untouched, 'u'));
  for (char* const tensor : {a, untouched}) Free(tensor);
  ExpectNothingLeft();
}

}  // namespace
}  // namespace thermocline::migrate

// What the suites of access profilers share: a Residency whose recorder logs each touch, so that sets of pages are
// compared exactly, and a whole runtime that is far larger than its budget.
#ifndef THERMOCLINE_TESTS_CONFORMANCE_PROFILER_UNDER_TEST_H_
#define THERMOCLINE_TESTS_CONFORMANCE_PROFILER_UNDER_TEST_H_

#include <array>
#include <memory>
#include <set>
#include <utility>

#include "gtest/gtest.h"
#include "src/arena/residency.h"
#include "src/profile/choose_gate.h"
#include "src/runtime/page_recorder.h"
#include "src/runtime/runtime.h"
#include "src/tier/tier_spec.h"
#include "tests/runtime/known_link.h"

namespace thermocline {

constexpr int64_t kPage = 4096;
constexpr Bytes kGranule = KiB(256);
constexpr int64_t kFrames = 16;

// Logs what the product's recorder is told.
class LoggingRecorder final : public arena::AccessRecorder {
 public:
  using Touch = std::pair<const char*, bool>;  // the window's begin; whether it was written

  Window OnTouch(char* address, os::FaultAccess access) override {
    const Window window = pages.OnTouch(address, access);
    if (count < std::ssize(log)) log[count++] = {window.begin, access == os::FaultAccess::kWrite};
    return window;
  }
  std::multiset<Touch> Take() {
    std::multiset<Touch> touches(log.begin(), log.begin() + count);
    count = 0;
    return touches;
  }

  runtime::PageRecorder pages;
  std::array<Touch, 8192> log;
  int64_t count = 0;
};

// A residency with its recorder, profiling by the named mechanism.
class ProfiledMemory {
 public:
  explicit ProfiledMemory(const char* profiler, os::Memory& memory = os::RealMemory()) {
    tier_ = *tier::MakeBlockTier(*tier::ParseTierSpec("emulated:in=2GB/s,out=2GB/s"), kGranule);
    arena::ResidencyOptions options;
    options.granule_bytes = kGranule;
    options.address_space = MiB(64);
    options.frames = options.most_frames = kFrames;
    residency = *arena::Residency::Create(options, memory, *tier_, MonotonicClock());
    auto gate = profile::MakeGate(profiler, memory);
    if (!gate.ok()) {
      refusal = gate.status();
      return;
    }
    gate_ = *std::move(gate);
    residency->SetAccessGate(gate_.get());
  }
  // A tensor in granules of its own.
  char* New(Bytes bytes) {
    char* const at = residency->base() + next_;
    next_ += RoundUp(bytes, kGranule).count();
    EXPECT_TRUE(residency->Retain(residency->RangeOf(at, bytes)));
    recorder.pages.AddTensor(at, bytes, tensors_++);
    return at;
  }
  std::multiset<LoggingRecorder::Touch> EndLayer() {
    residency->CloseOpened();
    arena::Residency::Lock lock(*residency);
    return recorder.Take();
  }

  absl::Status refusal;
  LoggingRecorder recorder;

 private:
  std::unique_ptr<tier::BlockTier> tier_;
  std::unique_ptr<arena::AccessGate> gate_;
  int64_t next_ = 0;
  int64_t tensors_ = 0;

 public:
  std::unique_ptr<arena::Residency> residency;
};

class ProfilerConformance : public ::testing::TestWithParam<const char*> {
 protected:
  using Touches = std::multiset<LoggingRecorder::Touch>;

  void SetUp() override {
    const auto gate = profile::MakeGate(GetParam(), os::RealMemory());
    if (gate.ok()) return;
    // The only way out: the kernel lacks it or forbids it, and the message says so.
    ASSERT_TRUE(absl::IsUnimplemented(gate.status()) || absl::IsPermissionDenied(gate.status())) << gate.status();
    GTEST_SKIP() << "needs a kernel that has this profiler and allows it: " << gate.status().message();
  }
  static char Read(const char* at) { return *static_cast<const volatile char*>(at); }
  static void Write(char* at, char value) { *static_cast<volatile char*>(at) = value; }

  std::unique_ptr<runtime::Runtime> MakeRuntime() const {
    runtime::RawSettings raw;
    raw.fast = "2MiB";
    raw.slow = "emulated:in=2GB/s,out=2GB/s";
    raw.granule_bytes = KiB(64).count();
    raw.profiler = GetParam();
    auto runtime = runtime::Runtime::Create(SettingsWithKnownLink(raw));
    EXPECT_TRUE(runtime.ok()) << runtime.status();
    return *std::move(runtime);
  }
};

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_CONFORMANCE_PROFILER_UNDER_TEST_H_

// Bytes that the slow tier does not give back, or not as they were: the calls that mark the step and those that ask for
// the tensor return the error, a thread that touches it gets SIGBUS, and nobody gets other bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/capi/handle.h"
#include "src/os/fault_signal.h"
#include "tests/tier/held_tier.h"
#include "thermocline/thermocline.h"

namespace thermocline {
namespace {

using ::testing::HasSubstr;

constexpr Bytes kGranule = KiB(64);
constexpr int kSlots = 64;
constexpr int kTensors = 8;  // each a layer's; twice the budget together
constexpr size_t kBytes = 256 << 10;

class LostBytes : public ::testing::Test {
 protected:
  void Make(const std::string& planner, bool verify = false) {
    runtime::RawSettings raw;
    raw.fast = "1MiB";
    raw.planner = planner;
    raw.granule_bytes = kGranule.count();
    raw.verify = verify;
    runtime::Settings settings = *ReadSettings(raw, [](const char*) { return std::nullopt; });
    settings.link.emplace();
    settings.link->in = settings.link->out = BytesPerSecond(2e9);
    auto slow = std::make_unique<tier::HeldTier>(kGranule, kSlots);
    slow_ = slow.get();
    auto runtime = runtime::Runtime::CreateOn(settings, std::move(slow));
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    handle_.runtime = *std::move(runtime);
    for (int i = 0; i < kTensors; ++i) {
      tensors_.push_back(static_cast<char*>(tc_alloc(&handle_, kBytes)));
      std::memset(tensors_.back(), 'a' + i, kBytes);
    }
  }
  void Read(int i) const {
    for (size_t at = 0; at < kBytes; ++at) ASSERT_EQ(tensors_[i][at], 'a' + i);
  }
  void Step() {
    ASSERT_EQ(tc_begin_step(&handle_), TC_OK) << tc_last_error();
    for (int i = 0; i < kTensors; ++i) {
      ASSERT_EQ(tc_add_layer(&handle_), TC_OK) << tc_last_error();
      Read(i);
    }
    ASSERT_EQ(tc_end_step(&handle_), TC_OK) << tc_last_error();
  }
  void FailReads() {
    slow_->FailWhere([](const tier::Transfer& t) { return t.direction == tier::Direction::kIn ? EIO : 0; });
  }
  void DamageAllSlots() {
    slow_->Hold(true);  // no transfer while it happens
    for (uint32_t slot = 0; slot < kSlots; ++slot) slow_->SlotMemory(SlotId(slot))[100] ^= 1;
    slow_->Hold(false);
  }
  tc_stats Stats() {
    tc_stats stats = {};
    stats.struct_size = sizeof(stats);
    EXPECT_EQ(tc_get_stats(&handle_, &stats), TC_OK);
    return stats;
  }
  // Where a child process touches it.
  bool TouchIsSigbus(int i) const {
    const pid_t child = fork();
    if (child == 0) {
      struct sigaction action = {};
      action.sa_handler = SIG_DFL;  // a sanitizer's handler would exit
      os::SetChainedAction(SIGBUS, &action, nullptr);
      alarm(10);
      _exit(const_cast<const volatile char*>(tensors_[i])[0] == 'a' + i ? 1 : 2);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
  }

  tc_runtime handle_;
  tier::HeldTier* slow_ = nullptr;
  std::vector<char*> tensors_;
};

TEST_F(LostBytes, TheLayerThatNeedsThemReturnsTheErrorAndSoDoesTheStepsEnd) {
  Make("lookahead");
  for (int i = 0; i < 4; ++i) Step();
  FailReads();
  int told = 0;
  tc_begin_step(&handle_);
  for (int i = 0; i < kTensors; ++i) {
    const tc_status status = tc_add_layer(&handle_);
    if (status == TC_OK) continue;
    ++told;
    EXPECT_EQ(status, TC_IO_ERROR);
    EXPECT_THAT(tc_last_error(), HasSubstr("bytes are lost")) << tc_status_name(status);
    EXPECT_THAT(tc_last_error(), HasSubstr(strerror(EIO)));
  }
  EXPECT_GE(told, kTensors / 2) << "half of them were away";
  EXPECT_EQ(tc_end_step(&handle_), TC_IO_ERROR);
  EXPECT_THAT(tc_last_error(), HasSubstr("bytes are lost"));
}

TEST_F(LostBytes, ThatNoLayerWaitsForAreToldOnceByTheStepsEnd) {
  Make("lru");
  FailReads();
  ASSERT_EQ(tc_begin_step(&handle_), TC_OK);
  ASSERT_EQ(tc_prefetch(&handle_, tensors_[0], 1), TC_OK);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  constexpr uint64_t kTries = 4;
  while (Stats().io_errors < kTries && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(Stats().io_errors, kTries);
  EXPECT_EQ(tc_end_step(&handle_), TC_IO_ERROR);
  EXPECT_THAT(tc_last_error(), HasSubstr("bytes are lost"));
  ASSERT_EQ(tc_begin_step(&handle_), TC_OK);
  EXPECT_EQ(tc_end_step(&handle_), TC_OK) << "it was said";
}

TEST_F(LostBytes, ThatComeBackChangedAreFoundOutWhereTheyAreVerified) {
  Make("lru", /*verify=*/true);
  for (int i = 0; i < kTensors; ++i) Read(i);
  DamageAllSlots();
  EXPECT_TRUE(TouchIsSigbus(0));
  EXPECT_EQ(tc_pin(&handle_, tensors_[0], 1), TC_IO_ERROR);
  EXPECT_THAT(tc_last_error(), HasSubstr(strerror(EBADMSG)));
  EXPECT_TRUE(TouchIsSigbus(0)) << "from now on it is known";
  Read(kTensors - 1);  // what had not left is whole
}

}  // namespace
}  // namespace thermocline

// A program that marks no steps on a runtime that follows its rhythm.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/base/clock.h"
#include "src/plan/plan_file.h"
#include "src/runtime/runtime.h"
#include "tests/runtime/known_link.h"

namespace thermocline::runtime {
namespace {

constexpr Bytes kGranule = KiB(64);

std::unique_ptr<Runtime> Unmarked(const std::string& slow, const std::string& plan = "") {
  RawSettings raw;
  raw.fast = "1MiB";
  raw.slow = slow;
  raw.plan_in = plan;
  raw.granule_bytes = kGranule.count();
  auto runtime = Runtime::Create(SettingsWithKnownLink(raw));
  EXPECT_TRUE(runtime.ok()) << runtime.status();
  (*runtime)->FollowRhythm(/*says=*/true);
  return *std::move(runtime);
}

// Weights four times as large as the fast memory, and layers that read one of them each, with scratch of a size of
// their own. Nothing but its allocations tells the layers and steps.
class Program {
 public:
  static constexpr int kLayers = 24;
  static constexpr int kWeights = 8;
  static constexpr int kGranules = 8;  // a weight

  explicit Program(Runtime& runtime) : runtime_(runtime) {
    for (int i = 0; i < kWeights; ++i) {
      weights_.push_back(static_cast<char*>(runtime.Allocate(kGranule * kGranules, Bytes(64))));
      std::memset(weights_.back(), i + 1, (kGranule * kGranules).count());
    }
  }
  ~Program() {
    for (char* weight : weights_) EXPECT_TRUE(runtime_.Free(weight));
  }

  // False when a layer gets no scratch.
  bool Step() {
    for (int layer = 0; layer < kLayers; ++layer) {
      const Bytes bytes = kGranule + KiB(4) * layer;
      auto* const scratch = static_cast<char*>(runtime_.Allocate(bytes, Bytes(64), weights_.data() + layer));
      if (scratch == nullptr) return false;
      std::memset(scratch, 1, bytes.count());
      Read(layer % kWeights, reads_all() ? kGranules : 1);
      const int64_t until = MonotonicClock().NowNanos() + 60'000;  // it computes
      while (MonotonicClock().NowNanos() < until) {
      }
      EXPECT_TRUE(runtime_.Free(scratch));
    }
    return true;
  }
  void Read(int weight, int granules) {
    for (int64_t i = 0; i < kGranule.count() * granules; i += 64) wrong_ += weights_[weight][i] != weight + 1;
  }
  // Only the profiled step reads whole weights, or each.
  void ReadOnlyProfiledWhole() { only_profiled_ = true; }
  int64_t wrong() const { return wrong_; }

 private:
  bool reads_all() const {
    return !only_profiled_ || (runtime_.Stats().profiles == 1 && runtime_.current_shape() == nullptr);
  }

  Runtime& runtime_;
  std::vector<char*> weights_;
  bool only_profiled_ = false;
  int64_t wrong_ = 0;
};

TEST(Unmarked, RunsByAPlanThatItsRhythmGave) {
  const auto runtime = Unmarked("emulated:in=1GB/s,out=1GB/s");
  Program program(*runtime);
  for (int step = 0; step < 20; ++step) ASSERT_TRUE(program.Step());
  EXPECT_GT(runtime->rhythm_stats().placed_steps, 4);
  EXPECT_EQ(runtime->rhythm_stats().allocations, Program::kLayers);
  EXPECT_EQ(program.wrong(), 0);
}

void MarkedSteps(Runtime& runtime, Program& program, int steps) {
  for (int step = 0; step < steps; ++step) {
    ASSERT_TRUE(runtime.BeginStep().ok());
    ASSERT_TRUE(program.Step());
    ASSERT_TRUE(runtime.EndStep().ok());
  }
}

TEST(Unmarked, SaysThatAPlanOfMarkedStepsIsNotUsedBeforeItMarksOne) {
  constexpr char kSlow[] = "emulated:in=1GB/s,out=1GB/s";
  const std::string plan = ::testing::TempDir() + "unmarked_test_" + std::to_string(getpid()) + ".json";
  {
    const auto marked = Unmarked(kSlow);
    Program program(*marked);
    MarkedSteps(*marked, program, 3);
    ASSERT_TRUE(plan::SavePlan(*marked->current_shape()->plan, plan).ok());
  }
  const auto runtime = Unmarked(kSlow, plan);
  std::filesystem::remove(plan);
  Program program(*runtime);
  ::testing::internal::CaptureStderr();
  for (int step = 0; step < 20; ++step) ASSERT_TRUE(program.Step());
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find(plan + " is not used"), std::string::npos) << said;
  EXPECT_EQ(said.find("is not used"), said.rfind("is not used")) << said;
  EXPECT_GT(runtime->rhythm_stats().placed_steps, 4);
  EXPECT_EQ(runtime->Stats().profiles, 1);
  const int64_t before = runtime->Stats().matched;
  ASSERT_TRUE(runtime->StartProfile().ok());
  MarkedSteps(*runtime, program, 2);
  ASSERT_TRUE(runtime->EndProfile().ok());
  EXPECT_EQ(runtime->Stats().matched - before, 2 * Program::kLayers) << "now it is";
  EXPECT_EQ(runtime->Stats().profiles, 1);
  EXPECT_FALSE(runtime->rhythm_stats().sought);
  EXPECT_EQ(program.wrong(), 0);
}

// The profiled step was no step like the others: the plan made of it brings what nobody reads.
TEST(Unmarked, GoesOnByDemandWhereThePlanIsSlower) {
  const auto runtime = Unmarked("emulated:in=50MB/s,out=50MB/s");
  Program program(*runtime);
  program.ReadOnlyProfiledWhole();
  ::testing::internal::CaptureStderr();
  for (int step = 0; step < 24; ++step) ASSERT_TRUE(program.Step());
  const std::string said = ::testing::internal::GetCapturedStderr();
  const RhythmStats stats = runtime->rhythm_stats();
  EXPECT_EQ(stats.fell_back, 1);
  EXPECT_EQ(stats.placed_steps, Judge::kSettling + Judge::kInARow);
  EXPECT_NE(said.find("longer than by demand: going on by demand"), std::string::npos) << said;
  // The plan has another try, and fails again.
  for (int step = 0; step < Judge::kFirstRetry + 8; ++step) ASSERT_TRUE(program.Step());
  EXPECT_EQ(runtime->rhythm_stats().fell_back, 2);
  EXPECT_EQ(runtime->rhythm_stats().placed_steps, 2 * stats.placed_steps);
  EXPECT_EQ(program.wrong(), 0);
}

// On another thread, whose tensors are not part of the rhythm: allocates and fills until it gets nothing.
std::vector<void*> FillUp(Runtime& runtime) {
  std::vector<void*> tensors;
  std::thread([&] {
    while (void* tensor = runtime.Allocate(KiB(256), Bytes(64))) {
      std::memset(tensor, 7, KiB(256).count());
      tensors.push_back(tensor);
    }
  }).join();
  return tensors;
}

// The same until nothing comes free any more: what a plan has under way holds frames that may be had once it has ended.
std::vector<void*> FillUpForGood(Runtime& runtime) {
  std::vector<void*> tensors;
  for (int refused = 0; refused < 3; ++refused) {
    const std::vector<void*> more = FillUp(runtime);
    if (!more.empty()) refused = -1;
    tensors.insert(tensors.end(), more.begin(), more.end());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return tensors;
}

void FreeAll(Runtime& runtime, const std::vector<void*>& tensors) {
  for (void* tensor : tensors) EXPECT_TRUE(runtime.Free(tensor));
}

// A planned place without a frame is no memory while none can be freed: its first touch would wait, for ever.
TEST(Unmarked, APlannedAllocationFailsWhereNoFrameCanBeFreed) {
  const auto runtime = Unmarked("file:/var/tmp,daily_writes=32MiB");
  Program program(*runtime);
  // Now the weights are in the slow tier, and what may be written today is used up: only what is clean can leave.
  ASSERT_TRUE(program.Step());
  FreeAll(*runtime, FillUp(*runtime));
  for (int step = 0; step < 20 && runtime->rhythm_stats().placed_steps < 3; ++step) ASSERT_TRUE(program.Step());
  ASSERT_EQ(runtime->rhythm_stats().placed_steps, 3);
  const std::vector<void*> others = FillUpForGood(*runtime);
  EXPECT_FALSE(program.Step());
  FreeAll(*runtime, others);
  for (int i = 0; i < Program::kWeights; ++i) program.Read(i, Program::kGranules);
  EXPECT_EQ(program.wrong(), 0);
}

}  // namespace
}  // namespace thermocline::runtime

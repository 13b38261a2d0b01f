// Steps of several shapes side by side, and steps that drift from the profiled one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "src/runtime/runtime.h"
#include "src/runtime/strange_steps.h"
#include "tests/runtime/network_on_runtime.h"

namespace thermocline::runtime {
namespace {

std::unique_ptr<Runtime> Make(Bytes fast) {
  auto runtime = Runtime::Create(SmallSettings("emulated:in=2GB/s,out=2GB/s", fast, "lookahead"));
  EXPECT_TRUE(runtime.ok()) << runtime.status();
  return runtime.ok() ? *std::move(runtime) : nullptr;
}

TEST(Shapes, ThatAlternateAreProfiledOnceEachAndAllOfThemIsMatchedFromThenOn) {
  const auto runtime = Make(MiB(6));
  ASSERT_NE(runtime, nullptr);
  NetworkHooks hooks = On(*runtime);
  int64_t allocations = 0;
  hooks.allocate = [&, allocate = hooks.allocate](size_t bytes) {
    ++allocations;
    return allocate(bytes);
  };
  SmallNetwork network(std::move(hooks), kNetworkLayers, kNetworkWidth);
  int step = 0;
  // By demand, profiled, placed; then one of another shape, and the next such one, which is profiled.
  for (const int scale : {2, 2, 2, 1, 1}) network.Step(step++, scale);
  const RuntimeStats known = runtime->Stats();
  EXPECT_EQ(known.profiles, 2);
  allocations = 0;
  for (const int scale : {2, 1, 2, 2, 1, 1, 2, 1}) network.Step(step++, scale);
  const RuntimeStats after = runtime->Stats();
  EXPECT_EQ(after.profiles, 2);
  EXPECT_EQ(after.mismatched, known.mismatched);
  EXPECT_EQ(after.matched - known.matched, allocations);
}

// The last smaller batch of an epoch: over before it could be profiled. The first makes the next step be profiled, for
// nothing; the second says when the third comes; from the fourth on all of it is matched.
TEST(Shapes, ThatComeOneAtATimeAreProfiledOnceTheirDistanceIsKnown) {
  const auto runtime = Make(MiB(6));
  ASSERT_NE(runtime, nullptr);
  NetworkHooks hooks = On(*runtime);
  int64_t allocations = 0;
  hooks.allocate = [&, allocate = hooks.allocate](size_t bytes) {
    ++allocations;
    return allocate(bytes);
  };
  SmallNetwork network(std::move(hooks), kNetworkLayers, kNetworkWidth);
  int step = 0;
  const auto epoch = [&] {
    for (const int scale : {2, 2, 2, 2, 1}) network.Step(step++, scale);
  };
  for (int i = 0; i < 3; ++i) epoch();
  const RuntimeStats known = runtime->Stats();
  EXPECT_EQ(known.profiles, 3) << "the large batch's, the one for nothing, the small batch's";
  allocations = 0;
  for (int i = 0; i < 3; ++i) epoch();
  const RuntimeStats after = runtime->Stats();
  EXPECT_EQ(after.profiles, 3);
  EXPECT_EQ(after.mismatched, known.mismatched);
  EXPECT_EQ(after.matched - known.matched, allocations);
}

TEST(StrangeStepsTest, AKindIsExpectedAsFarFromItsLastAsThatWasFromTheOneBefore) {
  StrangeSteps strange;
  const Identity evaluation{0, 0, KiB(64)}, rest{3, 1, KiB(96)};
  EXPECT_TRUE(strange.OnStrange(10, evaluation)) << "the next may be another of it";
  EXPECT_TRUE(strange.OnStrange(13, rest));
  for (int64_t step = 14; step < 100; ++step) EXPECT_FALSE(strange.IsDue(step)) << step;
  EXPECT_FALSE(strange.OnStrange(30, evaluation));
  EXPECT_FALSE(strange.OnStrange(35, rest));
  for (int64_t step = 36; step < 100; ++step) EXPECT_EQ(strange.IsDue(step), step == 50 || step == 57) << step;
  EXPECT_FALSE(strange.OnStrange(60, evaluation)) << "it came late";
  EXPECT_FALSE(strange.IsDue(50));
  EXPECT_TRUE(strange.IsDue(90));
}

TEST(StrangeStepsTest, TheLatestKindsAreRemembered) {
  StrangeSteps strange;
  const int most = static_cast<int>(StrangeSteps::kMostKinds);
  for (int i = 0; i <= most; ++i) EXPECT_TRUE(strange.OnStrange(i, {i, 0, KiB(64)}));
  EXPECT_FALSE(strange.OnStrange(100, {most, 0, KiB(64)}));
  EXPECT_TRUE(strange.OnStrange(101, {0, 0, KiB(64)})) << "forgotten";
}

// One allocation is less than 2% of a step's, two are more.
constexpr int kLayers = 6, kInLayer = 10, kAllocations = kLayers * kInLayer;

// The step's last `changed` allocations are larger than usual. In its midst another thread does something else.
void Step(Runtime& runtime, int changed, const std::function<void()>& elsewhere = nullptr) {
  ASSERT_TRUE(runtime.BeginStep().ok());
  for (int layer = 0; layer < kLayers; ++layer) {
    ASSERT_TRUE(runtime.AddLayer("").ok());
    std::vector<void*> tensors;
    for (int i = 0; i < kInLayer; ++i) {
      const Bytes bytes = layer * kInLayer + i >= kAllocations - changed ? KiB(96) : KiB(64);
      tensors.push_back(runtime.Allocate(bytes, Bytes(64)));
      std::memset(tensors.back(), i, bytes.count());
    }
    if (layer == kLayers / 2 && elsewhere != nullptr) std::thread(elsewhere).join();
    for (void* const tensor : tensors) ASSERT_TRUE(runtime.Free(tensor));
  }
  ASSERT_TRUE(runtime.EndStep().ok());
}

class Drift : public ::testing::Test {
 protected:
  // By demand, profiled, placed.
  void SetUp() override {
    ASSERT_NE(runtime_, nullptr);
    for (int step = 0; step < 3; ++step) Step(*runtime_, 0);
    Expect(/*profiles=*/1, /*matched=*/kAllocations, /*mismatched=*/0);
  }
  void Expect(int64_t profiles, int64_t matched, int64_t mismatched) const {
    const RuntimeStats stats = runtime_->Stats();
    EXPECT_EQ(stats.profiles, profiles);
    EXPECT_EQ(stats.matched, matched);
    EXPECT_EQ(stats.mismatched, mismatched);
  }
  const std::unique_ptr<Runtime> runtime_ = Make(MiB(3));
};

TEST_F(Drift, OfLessThanTwoPercentIsBorne) {
  Step(*runtime_, 1);
  Step(*runtime_, 0);
  Expect(1, 3 * kAllocations - 1, 1);
}

TEST_F(Drift, OfMoreThanTwoPercentIsProfiledAnewAndThenMatches) {
  Step(*runtime_, 2);
  Expect(1, 2 * kAllocations - 2, 2);
  Step(*runtime_, 2);
  Expect(2, 2 * kAllocations - 2, 2);
  Step(*runtime_, 2);
  Expect(2, 3 * kAllocations - 2, 2);
  Step(*runtime_, 0);  // as it was at first: not forgotten
  Expect(2, 4 * kAllocations - 2, 2);
}

constexpr int kMostShapes = 8;

// Steps that differ in the size of all that they allocate. What outlives them keeps its bytes, whatever their plans
// move.
class ManyShapes : public ::testing::Test {
 protected:
  static constexpr Bytes kLasting = MiB(1);

  void SetUp() override {
    ASSERT_NE(runtime_, nullptr);
    lasting_ = static_cast<unsigned char*>(runtime_->Allocate(kLasting, Bytes(64)));
    for (int64_t i = 0; i < kLasting.count(); ++i) lasting_[i] = static_cast<unsigned char>(i % 251);
  }
  static Bytes SizeIn(int shape) { return KiB(64 + 16 * shape); }

  void Run(int shape) {
    ASSERT_TRUE(runtime_->BeginStep().ok());
    for (int layer = 0; layer < kLayers; ++layer) {
      ASSERT_TRUE(runtime_->AddLayer("").ok());
      std::vector<unsigned char*> tensors;
      for (int i = 0; i < kInLayer; ++i) {
        tensors.push_back(static_cast<unsigned char*>(runtime_->Allocate(SizeIn(shape), Bytes(64))));
        std::memset(tensors.back(), layer * kInLayer + i, SizeIn(shape).count());
      }
      for (int i = 0; i < kInLayer; ++i) {
        const auto fill = static_cast<unsigned char>(layer * kInLayer + i);
        ASSERT_EQ(std::count(tensors[i], tensors[i] + SizeIn(shape).count(), fill), SizeIn(shape).count());
        ASSERT_TRUE(runtime_->Free(tensors[i]));
      }
    }
    for (int64_t i = 0; i < kLasting.count(); ++i) ASSERT_EQ(lasting_[i], i % 251) << "in a step of shape " << shape;
    ASSERT_TRUE(runtime_->EndStep().ok());
  }
  // It is a known one: nothing is profiled, all is matched, and its plan is the active one.
  void ExpectKnown(int shape) {
    const RuntimeStats before = runtime_->Stats();
    Run(shape);
    const RuntimeStats after = runtime_->Stats();
    EXPECT_EQ(after.profiles, before.profiles) << shape;
    EXPECT_EQ(after.matched - before.matched, kAllocations) << shape;
    ExpectActive(shape);
  }
  void ExpectActive(int shape) const {
    const std::vector<profile::Tensor>& tensors = runtime_->current_shape()->profile.tensors;
    EXPECT_TRUE(std::all_of(tensors.begin(), tensors.end(), [&](const profile::Tensor& tensor) {
      return tensor.birth == kNoLayer || tensor.bytes == SizeIn(shape);
    })) << shape;
  }

  const std::unique_ptr<Runtime> runtime_ = Make(MiB(2));
  unsigned char* lasting_ = nullptr;
};

TEST_F(ManyShapes, KeepEightAndTheNextTakesTheRoomOfOneThatIsThenProfiledAgain) {
  for (int shape = 0; shape <= kMostShapes; ++shape) {
    for (int i = 0; i < 2; ++i) Run(shape);  // unknown (or by demand), profiled
    EXPECT_EQ(runtime_->Stats().profiles, shape + 1);
    ExpectActive(shape);
    ExpectKnown(shape);
  }
  EXPECT_GT(runtime_->Stats().mover.bytes_in, MiB(1)) << "and they had to move";
  for (int shape = 1; shape <= kMostShapes; ++shape) ExpectKnown(shape);
  Run(0);
  EXPECT_EQ(runtime_->Stats().profiles, kMostShapes + 1);
  Run(0);
  EXPECT_EQ(runtime_->Stats().profiles, kMostShapes + 2) << "forgotten";
  ExpectKnown(0);
  for (int shape = 2; shape <= kMostShapes; ++shape) ExpectKnown(shape);
  ExpectKnown(0);
}

TEST_F(ManyShapes, KeepThoseThatWereUsedLast) {
  for (int shape = 0; shape < kMostShapes; ++shape) {
    for (int i = 0; i < 2; ++i) Run(shape);
  }
  ExpectKnown(0);  // the one that was profiled first
  for (int i = 0; i < 2; ++i) Run(kMostShapes);
  ExpectActive(kMostShapes);
  ExpectKnown(0);
  for (int shape = 2; shape <= kMostShapes; ++shape) ExpectKnown(shape);
  const int64_t mismatched = runtime_->Stats().mismatched;
  Run(1);
  EXPECT_GT(runtime_->Stats().mismatched, mismatched) << "forgotten";
}

TEST_F(ManyShapes, ArePlannedForANewBudgetAfterTheirNextStep) {
  for (const int shape : {0, 0, 0, 0, 1, 1}) Run(shape);
  ASSERT_TRUE(runtime_->SetBudget(MiB(1)).ok());
  Run(1);  // profiled anew
  const int64_t profiles = runtime_->Stats().profiles;
  EXPECT_LE(runtime_->current_shape()->plan->budget, MiB(1));
  const int64_t replans = runtime_->Stats().replans;
  ExpectKnown(0);
  EXPECT_LE(runtime_->current_shape()->plan->budget, MiB(1));
  ExpectKnown(0);
  EXPECT_EQ(runtime_->Stats().replans, replans + 1) << "once";
  EXPECT_EQ(runtime_->Stats().profiles, profiles);
}

// What another thread allocates beside the steps: other sizes each time, some of it for several steps.
class OtherThread {
 public:
  explicit OtherThread(Runtime& runtime) : runtime_(runtime) {}
  ~OtherThread() {
    for (Tensor& tensor : tensors_) Free(tensor);
  }

  void Run(int step) {
    for (int i = 0; i < 12; ++i) {
      const Bytes bytes = KiB(32 + 28 * ((step * 7 + i * 5) % 11));
      auto* const begin = static_cast<unsigned char*>(runtime_.Allocate(bytes, Bytes(64)));
      ASSERT_NE(begin, nullptr);
      std::memset(begin, Fill(step, i), bytes.count());
      tensors_.push_back({begin, bytes, Fill(step, i)});
    }
    while (tensors_.size() > 40) {
      Free(tensors_.front());
      tensors_.erase(tensors_.begin());
    }
  }
  int64_t wrong() const { return wrong_; }

 private:
  struct Tensor {
    unsigned char* begin;
    Bytes bytes;
    unsigned char fill;
  };
  static unsigned char Fill(int step, int i) { return static_cast<unsigned char>(step * 12 + i + 1); }
  void Free(const Tensor& tensor) {
    wrong_ += tensor.bytes.count() - std::count(tensor.begin, tensor.begin + tensor.bytes.count(), tensor.fill);
    EXPECT_TRUE(runtime_.Free(tensor.begin));
  }

  Runtime& runtime_;
  std::vector<Tensor> tensors_;
  int64_t wrong_ = 0;
};

TEST(OtherThreads, AllocateWithoutDriftAndLoseNoByte) {
  const auto runtime = Make(MiB(3));
  ASSERT_NE(runtime, nullptr);
  constexpr int kSteps = 12;
  {
    OtherThread other(*runtime);
    for (int step = 0; step < kSteps; ++step) Step(*runtime, 0, [&] { other.Run(step); });
    EXPECT_EQ(other.wrong(), 0);
    const std::vector<profile::Tensor>& tensors = runtime->current_shape()->profile.tensors;
    EXPECT_TRUE(std::any_of(tensors.begin(), tensors.end(), [](const profile::Tensor& tensor) {
      return tensor.birth != kNoLayer && tensor.ordinal < 0 && !tensor.accesses.empty();
    })) << "what another thread allocates in the profiled step is in the profile";
  }
  const RuntimeStats stats = runtime->Stats();
  EXPECT_EQ(stats.profiles, 1);
  EXPECT_EQ(stats.mismatched, 0);
  EXPECT_EQ(stats.matched, (kSteps - 2) * kAllocations) << "all of the driving thread's, and no other";
  EXPECT_GT(stats.mover.bytes_in, MiB(1)) << "and they had to move";
}

}  // namespace
}  // namespace thermocline::runtime

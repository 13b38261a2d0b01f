// What the mover fetches first, and how much of the queue it fills: planned arrivals by deadline, what is due alone,
// what a touch brings along, and what is kept free for the next.
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/migrate/mover_fixture.h"

namespace thermocline::migrate {
namespace {

// Tensors in the slow tier, and a plan that fetches them. What is begun stays under way.
class ArrivalsTest : public MoverTest {
 protected:
  static constexpr int kLayers = 16;
  // More than may be under way; there is a frame for each.
  static constexpr int kAway = 14;
  static constexpr int kMost = 6;

  ArrivalsTest() : MoverTest({.busy = kGranule * kMost}) {
    for (int i = 0; i < kAway; ++i) tensors_.push_back(NewEvicted(static_cast<char>('a' + i)));
    plan_->granule_bytes = kGranule;
    plan_->layout_end = MiB(64).count();
    plan_->layers.resize(kLayers);
    tier_.Hold(true);
  }
  ~ArrivalsTest() override {
    tier_.Hold(false);
    for (int i = 0; i < kAway; ++i) EXPECT_TRUE(Holds(tensors_[i], static_cast<char>('a' + i))) << i;
    for (char* const tensor : tensors_) Free(tensor);
  }

  // In `layer`, fetches it for the layer that is `ahead` layers away.
  void PlanFetch(int layer, int tensor, int ahead) {
    plan_->layers[layer].fetch.push_back({Id(tensors_[tensor]), LayerId(layer + ahead), false});
  }
  void Begin() {
    mover_->SetPlan(plan_, 1);
    Step();
  }
  void Enter(int layer) {
    mover_->EnterLayer(layer);
    Step();
  }
  // In the order in which they were begun, as indices.
  std::vector<int64_t> UnderWay() const {
    std::vector<int64_t> indices;
    for (const tier::Transfer& transfer : tier_.Waiting()) {
      const GranuleId id(static_cast<uint32_t>(transfer.tag));
      const auto is_it = [&](const char* tensor) { return Id(tensor) == id; };
      indices.push_back(std::find_if(tensors_.begin(), tensors_.end(), is_it) - tensors_.begin());
    }
    return indices;
  }

  std::vector<char*> tensors_;
  std::shared_ptr<plan::MigrationPlan> plan_ = std::make_shared<plan::MigrationPlan>();
};

TEST_F(ArrivalsTest, BeginInTheOrderOfTheirDeadlines) {
  PlanFetch(1, 0, 3);
  PlanFetch(1, 1, 1);
  PlanFetch(1, 2, 2);
  Begin();
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{1, 2, 0}));
}

TEST_F(ArrivalsTest, NoMoreAreUnderWayThanKeepTheLinkBusy) {
  for (int i = 0; i < kAway; ++i) PlanFetch(1, i, 2);
  Begin();
  EXPECT_EQ(std::ssize(UnderWay()), kMost);
}

TEST_F(ArrivalsTest, ThatAreDueSoonerOvertakeThoseThatWait) {
  for (int i = 0; i < kAway - 1; ++i) PlanFetch(1, i, 3);
  PlanFetch(2, kAway - 1, 1);
  Begin();
  Enter(2);
  ASSERT_EQ(std::ssize(UnderWay()), kMost);
  tier_.Release(0);
  Step();
  EXPECT_EQ(UnderWay().back(), kAway - 1);
}

TEST_F(ArrivalsTest, WhatIsDueHasTheLinkForItself) {
  PlanFetch(1, 0, 0);
  PlanFetch(1, 1, 0);
  PlanFetch(1, 2, 1);
  Begin();
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{0, 1}));
  tier_.Release(0);
  Step();
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{1}));
  tier_.Release(0);
  Step();
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{2}));
}

TEST_F(ArrivalsTest, WhatBecomesDueOnTheWayHoldsBackTheRest) {
  PlanFetch(1, 0, 1);
  PlanFetch(2, 1, 2);
  Begin();
  Enter(2);
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{0}));
}

TEST_F(ArrivalsTest, WhatIsTouchedHoldsBackTheRestToo) {
  PlanFetch(2, 1, 2);
  Begin();
  std::future<void> touch = std::async(std::launch::async, [this] { EXPECT_EQ(*tensors_[0], 'a'); });
  while (UnderWay().empty()) Step();
  Enter(2);
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{0}));
  tier_.Release(0);
  Step();
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{1}));
  touch.get();
}

TEST_F(ArrivalsTest, WriteOutsWaitForWhatIsDue) {
  tier_.Hold(false);
  char* const dirty = New('d');
  tier_.Hold(true);
  PlanFetch(1, 0, 0);
  plan_->layers[1].write_back.push_back(Id(dirty));
  Begin();
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{0}));
  tier_.Release(0);
  Step();
  ASSERT_EQ(tier_.Waiting().size(), 1u);
  EXPECT_EQ(tier_.Waiting().front().direction, Direction::kOut);
  tier_.Hold(false);
  Step();
  Free(dirty);
}

TEST_F(ArrivalsTest, ButForTheEvictionsThatWhatIsDueNeeds) {
  tier_.Hold(false);
  std::vector<char*> dirty;
  for (int i = 0; i < kFrames; ++i) dirty.push_back(New(static_cast<char>('A' + i)));
  tier_.Hold(true);
  PlanFetch(1, 0, 0);
  PlanFetch(1, 1, 0);
  for (int i = 0; i < 4; ++i) plan_->layers[1].release.push_back(Id(dirty[i]));
  Begin();
  ASSERT_EQ(tier_.Waiting().size(), 2u) << "two frames are due";
  EXPECT_EQ(tier_.Waiting().front().direction, Direction::kOut);
  EXPECT_EQ(tier_.Waiting().back().direction, Direction::kOut);
  tier_.Release(0);
  tier_.Release(0);
  Step();
  EXPECT_EQ(UnderWay(), (std::vector<int64_t>{0, 1}));
  tier_.Hold(false);
  Step(2);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Where(dirty[i]), Presence::kHole) << i;
  for (char* const tensor : dirty) Free(tensor);
}

// ---------------------------------------------------------------------------------------------------------------------

// One tensor of several granules in the slow tier, and a mover that reads ahead.
class ReadAheadTest : public MoverTest {
 protected:
  static constexpr int kAhead = 3;
  static constexpr int kGranules = 6;

  ReadAheadTest() : MoverTest({.read_ahead = kAhead}) {
    tensor_ = static_cast<char*>(allocator_->Allocate(kGranule * kGranules, kGranule, false, nullptr));
    Elsewhere([this] { std::memset(tensor_, 't', (kGranule * kGranules).count()); });
    plan::LayerActions actions;
    for (int i = 0; i < kGranules; ++i) actions.release.push_back(Id(Part(i)));
    Do(actions);
    Step();
  }
  char* Part(int i) const { return tensor_ + i * kGranule.count(); }
  // From the first granule on, after a touch of it.
  int Brought() {
    Elsewhere([this] { EXPECT_EQ(*tensor_, 't'); });
    Step();
    int count = 0;
    while (count < kGranules && Where(Part(count)) == Presence::kMapped) ++count;
    for (int i = count; i < kGranules; ++i) EXPECT_EQ(Where(Part(i)), Presence::kHole) << i;
    return count;
  }

  char* tensor_ = nullptr;
};

TEST_F(ReadAheadTest, ByDemandATouchBringsTheNextGranulesToo) {
  mover_->SetPlan(nullptr, 5);
  EXPECT_EQ(Brought(), 1 + kAhead);
  EXPECT_EQ(mover_->Stats().demand_fetches, 1) << "what nobody asked for is no demand";
}

TEST_F(ReadAheadTest, UnderAPlanATouchBringsItsGranuleAlone) { EXPECT_EQ(Brought(), 1); }

// ---------------------------------------------------------------------------------------------------------------------

struct Reserve {
  int64_t asked;
  int64_t kept;
};

// Every frame holds what must be written before it can leave, and a tensor is in the slow tier.
class ReserveTest : public MoverTest, public ::testing::WithParamInterface<Reserve> {
 protected:
  static constexpr int kManyFrames = 64;
  static constexpr int kAway = 8;

  ReserveTest() : MoverTest({.frames = kManyFrames, .reserve = GetParam().asked}) {
    away_ = Fill(kAway, 'a');
    plan::LayerActions actions;
    for (int i = 0; i < kAway; ++i) actions.release.push_back(Id(away_ + i * kGranule.count()));
    Do(actions);
    Step();
    dirty_ = Fill(kManyFrames, 'd');
    tier_.Hold(true);
  }
  ~ReserveTest() override {
    tier_.Hold(false);
    EXPECT_TRUE(Holds(away_, 'a', kAway) && Holds(dirty_, 'd', kManyFrames));
    Free(away_);
    Free(dirty_);
  }

  // A tensor of so many granules.
  char* Fill(int granules, char fill) {
    const Bytes bytes = kGranule * granules;
    auto* const tensor = static_cast<char*>(allocator_->Allocate(bytes, kGranule, false, nullptr));
    Elsewhere([=] { std::memset(tensor, fill, bytes.count()); });
    return tensor;
  }
  // Another thread reads it, and waits where it is away.
  std::future<void> Touch(int i) {
    return std::async(std::launch::async, [at = away_ + i * kGranule.count()] { EXPECT_EQ(*at, 'a'); });
  }
  // Whatever is begun of itself is under way now.
  void StepUntilHeld(size_t transfers) {
    for (int turn = 0; turn < 1000 && tier_.Waiting().size() < transfers; ++turn) mover_->RunOnce(10'000'000);
    Step(3);
  }
  // Of what is under way, in the order in which it was begun.
  std::vector<Direction> UnderWay() const {
    std::vector<Direction> directions;
    for (const tier::Transfer& transfer : tier_.Waiting()) directions.push_back(transfer.direction);
    return directions;
  }
  void ReleaseAll() {
    while (!tier_.Waiting().empty()) tier_.Release(0);
    Step();
  }
  // Lets everything end that it still waits for.
  void Await(std::future<void> touch) {
    while (touch.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) ReleaseAll();
    touch.get();
    ReleaseAll();
  }

  char *away_, *dirty_;
};

TEST_P(ReserveTest, ByDemandFramesAreFreedInABatchAndTheNextTouchesWaitForNoWrite) {
  const auto is_fetch = [](const tier::Transfer& transfer) { return transfer.direction == Direction::kIn; };
  mover_->SetPlan(nullptr, 5);
  Step();
  std::future<void> first = Touch(0);
  StepUntilHeld(1);
  // One for who waits, and with it as many as are kept free.
  EXPECT_EQ(UnderWay(), std::vector<Direction>(1 + GetParam().kept, Direction::kOut));
  Await(std::move(first));
  for (int64_t i = 1; i <= GetParam().kept; ++i) {
    std::future<void> next = Touch(static_cast<int>(i));
    StepUntilHeld(1);
    // The frame that it takes is made up for by a write, which is still under way when the touch has its bytes.
    EXPECT_EQ(UnderWay(), (std::vector<Direction>{Direction::kIn, Direction::kOut}));
    EXPECT_TRUE(tier_.ReleaseWhere(is_fetch)) << "touch " << i << " waits for a write";
    Step();
    EXPECT_EQ(next.wait_for(std::chrono::seconds(5)), std::future_status::ready) << "touch " << i;
    Await(std::move(next));
  }
}

TEST_P(ReserveTest, UnderAPlanOnlyWhatIsWaitedForIsFreed) {
  std::future<void> touch = Touch(0);  // NewEvicted gives plans
  StepUntilHeld(1);
  EXPECT_EQ(UnderWay(), std::vector<Direction>{Direction::kOut});
  Await(std::move(touch));
}

// No more than a sixteenth of the budget, however much was asked for.
INSTANTIATE_TEST_SUITE_P(Asked, ReserveTest, ::testing::Values(Reserve{3, 3}, Reserve{4, 4}, Reserve{8, 4}),
                         [](const auto& test) { return std::to_string(test.param.asked) + "Frames"; });

}  // namespace
}  // namespace thermocline::migrate

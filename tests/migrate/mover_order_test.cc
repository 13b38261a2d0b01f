// What the mover fetches first, and how much of the queue it fills: planned arrivals by deadline, what is due alone,
// and what a touch brings along.
#include <memory>
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

  ArrivalsTest() : MoverTest(/*read_ahead=*/0, /*depth=*/64, kGranule * kMost) {
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

  ReadAheadTest() : MoverTest(kAhead) {
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

}  // namespace
}  // namespace thermocline::migrate

// What the mover fetches first, and how much of the queue it fills: planned arrivals by deadline and urgency, and what
// a touch brings along.
#include <memory>
#include <vector>

#include "tests/migrate/mover_fixture.h"

namespace thermocline::migrate {
namespace {

// Tensors in the slow tier, and a plan that fetches them. What is begun stays under way.
class ArrivalsTest : public MoverTest {
 protected:
  static constexpr int kLayers = 16;
  // More than may be under way while nobody waits soon; there is a frame for each.
  static constexpr int kAway = 14;

  ArrivalsTest() {
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

  const int near_ = MoverOptions().urgent_layers;
  const int far_ = near_ + 1;
  const size_t part_ = MoverOptions().relaxed_depth;
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

TEST_F(ArrivalsTest, ThatAreDueSoonMayFillTheQueue) {
  for (int i = 0; i < kAway; ++i) PlanFetch(1, i, near_);
  Begin();
  EXPECT_EQ(std::ssize(UnderWay()), kAway);
}

TEST_F(ArrivalsTest, ThatAreDueLaterFillAPartOfIt) {
  ASSERT_LT(part_, kAway);
  for (int i = 0; i < kAway; ++i) PlanFetch(1, i, far_);
  Begin();
  EXPECT_EQ(UnderWay().size(), part_);
  Enter(2);
  EXPECT_EQ(std::ssize(UnderWay()), kAway) << "they are due soon now";
}

TEST_F(ArrivalsTest, ThatAreDueSoonOvertakeThoseThatWait) {
  for (int i = 0; i <= static_cast<int>(part_); ++i) PlanFetch(1, i, far_ + 1);
  PlanFetch(2, kAway - 1, 1);
  Begin();
  ASSERT_EQ(UnderWay().size(), part_);
  Enter(2);
  EXPECT_EQ(UnderWay().size(), part_ + 1);
  EXPECT_EQ(UnderWay().back(), kAway - 1);
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

// Who leaves when a plan is wrong about what a layer uses: that costs some transfers, not transfers without end.
#include "src/migrate/victim_policy.h"

#include "tests/migrate/mover_fixture.h"

namespace thermocline::migrate {
namespace {

class WrongPlan : public MoverTest {
 protected:
  // Fast memory is full of what the plan expects to be used in this layer. A loop uses others instead, in turns.
  // Returns how many of them were fetched for `rounds` turns.
  int64_t FetchesOfALoop(int frames, int tensors, int rounds) {
    residency_->SetFrameLimit(frames);
    std::vector<char*> loop, expected;
    for (int i = 0; i < tensors; ++i) loop.push_back(New(1));
    for (int i = 0; i < frames; ++i) expected.push_back(New(2));
    auto plan = std::make_shared<plan::MigrationPlan>();
    plan->granule_bytes = kGranule;
    plan->layout_end = MiB(64).count();
    plan->layers.resize(8);
    for (char* tensor : expected) plan->layers[1].need.push_back(Id(tensor));
    mover_->SetPlan(plan, 1);
    Step();
    const int64_t before = mover_->Stats().demand_fetches;
    Elsewhere([&] {
      for (int round = 0; round < rounds; ++round) {
        for (volatile char* tensor : loop) wrong_ += *tensor != 1;
      }
    });
    const int64_t fetches = mover_->Stats().demand_fetches - before;
    for (char* tensor : loop) Free(tensor);
    for (char* tensor : expected) Free(tensor);
    return fetches;
  }
  int wrong_ = 0;
};

TEST_F(WrongPlan, ALoopOverWhatItDoesNotExpectSettles) {
  EXPECT_LE(FetchesOfALoop(/*frames=*/16, /*tensors=*/6, /*rounds=*/50), 6);
  EXPECT_EQ(wrong_, 0);
}

// One instruction may touch four granules: were one of them taken for another, it would never end.
TEST_F(WrongPlan, EvenInFourFramesFourGranulesCanBeUsedTogether) {
  EXPECT_LE(FetchesOfALoop(/*frames=*/4, /*tensors=*/4, /*rounds=*/50), 4);
  EXPECT_EQ(wrong_, 0);
}

}  // namespace
}  // namespace thermocline::migrate

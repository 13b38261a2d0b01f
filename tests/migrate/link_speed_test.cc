// The link's speed as the mover sees it, at times that the test sets: plans are made again from it.
#include <vector>

#include "tests/base/hand_clock.h"
#include "tests/migrate/mover_fixture.h"

namespace thermocline::migrate {
namespace {

struct StandingTime {
  HandClock clock_;
};

// Time stands still for the mover but where the test moves it.
class LinkSpeedTest : public StandingTime, public MoverTest {
 protected:
  static constexpr int64_t kMicrosecond = 1000;

  LinkSpeedTest() : MoverTest({.clock = &clock_}) { tier_.Hold(true); }
  ~LinkSpeedTest() override {
    tier_.Hold(false);
    for (char* tensor : tensors_) Free(tensor);
  }

  void BeginEvictions(int count) {
    plan::LayerActions actions;
    for (int i = 0; i < count; ++i) {
      tensors_.push_back(New('a'));
      actions.release.push_back(Id(tensors_.back()));
    }
    Do(actions);
    Step();
    ASSERT_EQ(std::ssize(tier_.Waiting()), count);
  }
  // So much later, all but `left` have ended.
  MoverStats AfterEnding(int64_t nanos, int left) {
    clock_.now += nanos;
    while (std::ssize(tier_.Waiting()) > left) tier_.Release(0);
    Step();
    return mover_->Stats();
  }

  std::vector<char*> tensors_;
};

TEST_F(LinkSpeedTest, OnlyTheTimeCountsInWhichAQueueStood) {
  BeginEvictions(7);
  EXPECT_EQ(mover_->Stats().queued_nanos, 0);
  const struct {
    int left;
    int64_t queued_nanos;
    Bytes out;
  } expected[] = {{6, 100 * kMicrosecond, kGranule},
                  {2, 200 * kMicrosecond, kGranule * 5},
                  {1, 300 * kMicrosecond, kGranule * 6},
                  // One in flight no longer keeps the link busy: a quarter of its time was after the queue.
                  {0, 300 * kMicrosecond, kGranule * 6 + kGranule * 3 / 4}};
  for (const auto& after : expected) {
    const MoverStats stats = AfterEnding(100 * kMicrosecond, after.left);
    EXPECT_EQ(stats.queued_nanos, after.queued_nanos) << after.left;
    EXPECT_EQ(stats.queued_out, after.out) << after.left;
  }
  const MoverStats stats = AfterEnding(100 * kMicrosecond, 0);
  EXPECT_EQ(stats.bytes_out, kGranule * 7);
  EXPECT_EQ(stats.queued_in, Bytes(0));
  EXPECT_EQ(stats.queued_nanos, 300 * kMicrosecond) << "nothing is under way";
}

// As a disk does with what it is given together. Were each counted from the one before it on, the link would seem to be
// as many times faster as there are transfers under way.
TEST_F(LinkSpeedTest, WhatEndsTogetherHasAllTakenTheWholeTime) {
  for (int batch = 1; batch <= 3; ++batch) {
    BeginEvictions(4);
    AfterEnding(2000 * kMicrosecond, 3);
    const MoverStats stats = AfterEnding(20 * kMicrosecond, 0);
    EXPECT_EQ(stats.queued_nanos, 2020 * kMicrosecond * batch);
    EXPECT_EQ(stats.queued_out, kGranule * 4 * batch);
    clock_.now += 700 * kMicrosecond;  // until there is more to do
  }
}

}  // namespace
}  // namespace thermocline::migrate

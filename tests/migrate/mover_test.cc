// The migration races, one at a time: the test stands in the middle of a transfer, which the slow tier holds back, does
// what a program may do there, and looks at the bytes. The mover is stepped by hand; touches that must fault come from
// another thread.
#include "tests/migrate/mover_fixture.h"

#include <cerrno>
#include <chrono>
#include <future>
#include <string>
#include <vector>

namespace thermocline::migrate {
namespace {

TEST_F(MoverTest, WhatIsEvictedComesBackWithItsBytes) {
  char* const a = NewEvicted('a');
  EXPECT_EQ(residency_->Stats().frames_in_use, 0);
  EXPECT_TRUE(Holds(a, 'a'));
  EXPECT_TRUE(IsClean(a));
  Free(a);
}

TEST_F(MoverTest, ATouchTakesAGranuleBackFromItsEviction) {
  char* const a = New('a');
  tier_.Hold(true);
  Evict(a);
  ASSERT_EQ(Where(a), Presence::kEvicting);
  Elsewhere([=] { a[5] = 'b'; });  // done at once: it doesn't wait for the transfer
  EXPECT_EQ(Where(a), Presence::kMapped);
  ASSERT_EQ(tier_.Waiting().size(), 1u);
  // The transfer's source has moved away; a device says so.
  tier_.Release(0, EFAULT);
  Step();
  EXPECT_EQ(Where(a), Presence::kMapped);
  EXPECT_FALSE(IsClean(a)) << "what the slot holds is stale";
  EXPECT_EQ(residency_->Stats().io_errors, 0);
  EXPECT_TRUE(residency_->last_error().ok());
  tier_.Hold(false);
  Evict(a);
  Step();
  ASSERT_EQ(Where(a), Presence::kHole);
  Elsewhere([=] { EXPECT_EQ(a[5], 'b'); });
  EXPECT_EQ(a[6], 'a');
  Free(a);
}

TEST_F(MoverTest, AWriteDuringAWriteBackMakesTheGranuleDirtyAgain) {
  char* const a = New('a');
  tier_.Hold(true);
  WriteBack(a);
  ASSERT_EQ(tier_.Waiting().size(), 1u);
  Elsewhere([=] { a[100] = 'b'; });
  tier_.Release(0);
  Step();
  EXPECT_FALSE(IsClean(a));
  tier_.Hold(false);
  Evict(a);
  Step();
  ASSERT_EQ(Where(a), Presence::kHole);
  Elsewhere([=] { EXPECT_EQ(a[100], 'b'); });
  Free(a);
}

TEST_F(MoverTest, AReadDuringAWriteBackLeavesItClean) {
  char* const a = New('a');
  tier_.Hold(true);
  WriteBack(a);
  EXPECT_TRUE(Holds(a, 'a'));
  tier_.Release(0);
  Step();
  EXPECT_TRUE(IsClean(a));
  Elsewhere([=] { a[0] = 'z'; });
  EXPECT_FALSE(IsClean(a));
  Free(a);
}

TEST_F(MoverTest, AReleaseWaitsForTheWriteBackThatItFollows) {
  char* const a = New('a');
  tier_.Hold(true);
  WriteBack(a);
  Evict(a);
  EXPECT_EQ(Where(a), Presence::kMapped);
  EXPECT_EQ(residency_->frames_leaving(), 1);
  tier_.Release(0);
  Step();
  EXPECT_EQ(Where(a), Presence::kHole);
  EXPECT_EQ(residency_->frames_leaving(), 0);
  tier_.Hold(false);
  EXPECT_TRUE(Holds(a, 'a'));
  Free(a);
}

TEST_F(MoverTest, AWriteCallsOffTheReleaseThatWaitsForAWriteBack) {
  char* const a = New('a');
  tier_.Hold(true);
  WriteBack(a);
  Evict(a);
  Elsewhere([=] { a[1] = 'b'; });
  EXPECT_EQ(residency_->frames_leaving(), 0);
  tier_.Release(0);
  Step();
  EXPECT_EQ(Where(a), Presence::kMapped);
  EXPECT_EQ(a[1], 'b');
  Free(a);
}

TEST_F(MoverTest, ATensorFreedWhileItIsFetchedLeavesNothingBehind) {
  char* const a = NewEvicted('a');
  tier_.Hold(true);
  Fetch(a);
  ASSERT_EQ(Where(a), Presence::kFetching);
  Free(a);
  tier_.Release(0);
  Step();
  EXPECT_EQ(residency_->Stats().frames_in_use, 0);
  EXPECT_EQ(tier_.slots_taken(), 0);
}

TEST_F(MoverTest, ATensorFreedWhileItIsEvictedLeavesNothingBehind) {
  char* const a = New('a');
  tier_.Hold(true);
  Evict(a);
  Free(a);
  EXPECT_EQ(tier_.slots_taken(), 1) << "a slot that is being written may not be given away";
  tier_.Release(0);
  Step();
  EXPECT_EQ(residency_->Stats().frames_in_use, 0);
  EXPECT_EQ(tier_.slots_taken(), 0);
}

TEST_F(MoverTest, ANewTensorWhereOneDiedInAnEvictionStartsUndisturbed) {
  char* const a = New('a');
  tier_.Hold(true);
  Evict(a);
  Free(a);
  char* const b = New('b');  // the same address: it takes the granule back
  ASSERT_EQ(a, b);
  tier_.Release(0, EFAULT);
  Step();
  tier_.Hold(false);
  EXPECT_TRUE(Holds(b, 'b'));
  Free(b);
}

TEST_F(MoverTest, ReleasingADirtyGranuleWritesItOutFirst) {
  char* const a = New('a');
  Evict(a);
  Step();
  EXPECT_EQ(mover_->Stats().bytes_out, kGranule);
  EXPECT_TRUE(Holds(a, 'a'));
  Free(a);
}

TEST_F(MoverTest, WhatIsReleasedAndWrittenBackAtOnceLeavesOutOfSight) {
  char* const a = New('a');
  tier_.Hold(true);
  plan::LayerActions actions;
  actions.release = actions.write_back = {Id(a)};
  Do(actions);
  EXPECT_EQ(Where(a), Presence::kEvicting);
  EXPECT_EQ(tier_.Waiting().size(), 1u);
  EXPECT_EQ(mover_->Stats().skipped_actions, 0);
  tier_.Hold(false);
  Step();
  EXPECT_EQ(Where(a), Presence::kHole);
  EXPECT_TRUE(Holds(a, 'a'));
  Free(a);
}

class BusyLinkTest : public MoverTest {
 protected:
  static constexpr int kMost = 4;
  BusyLinkTest() : MoverTest({.busy = kGranule * kMost}) {}
};

TEST_F(BusyLinkTest, AReleaseOvertakesItsOwnWriteBackThatStillWaits) {
  std::vector<char*> tensors;
  auto plan = std::make_shared<plan::MigrationPlan>();
  plan->granule_bytes = kGranule;
  plan->layout_end = MiB(64).count();
  plan->layers.resize(8);
  for (int i = 0; i < kMost + 3; ++i) {
    tensors.push_back(New('a'));
    plan->layers[1].write_back.push_back(Id(tensors.back()));
  }
  plan->layers[2].release.push_back(Id(tensors.back()));
  tier_.Hold(true);
  mover_->SetPlan(plan, 1);
  Step();
  mover_->EnterLayer(2);
  Step();
  ASSERT_EQ(std::ssize(tier_.Waiting()), kMost);
  EXPECT_EQ(Where(tensors.back()), Presence::kMapped);
  tier_.Release(0);
  Step();
  EXPECT_EQ(Where(tensors.back()), Presence::kEvicting) << "before those that were queued earlier";
  tier_.Hold(false);
  Step(3);
  EXPECT_EQ(Where(tensors.back()), Presence::kHole);
  EXPECT_EQ(mover_->Stats().skipped_actions, 0);
  for (char* const tensor : tensors) EXPECT_TRUE(Holds(tensor, 'a'));
  for (char* const tensor : tensors) Free(tensor);
}

// More dirty granules than the tier takes at once.
class ReleasesTest : public MoverTest {
 protected:
  static constexpr int kReleased = 14, kDepth = 12;
  ReleasesTest() : MoverTest({.depth = kDepth}) {
    for (int i = 0; i < kReleased; ++i) tensors_.push_back(New(static_cast<char>('a' + i)));
    for (char* const tensor : tensors_) actions_.release.push_back(Id(tensor));
    tier_.Hold(true);
  }
  ~ReleasesTest() override {
    tier_.Hold(false);
    for (size_t i = 0; i < tensors_.size(); ++i) EXPECT_TRUE(Holds(tensors_[i], static_cast<char>('a' + i)));
    for (char* const tensor : tensors_) Free(tensor);
  }
  void ReleaseAll() {
    while (!tier_.Waiting().empty()) tier_.Release(0);
    Step();
  }
  std::vector<char*> tensors_;
  plan::LayerActions actions_;
};

TEST_F(ReleasesTest, AreWrittenOutNoFasterThanTheTierTakesThem) {
  Do(actions_);
  EXPECT_EQ(tier_.Waiting().size(), static_cast<size_t>(kDepth));
  EXPECT_EQ(Where(tensors_.back()), Presence::kMapped);
  ReleaseAll();
  EXPECT_EQ(Where(tensors_.back()), Presence::kEvicting);
  ReleaseAll();
  EXPECT_EQ(Where(tensors_.back()), Presence::kHole);
}

TEST_F(ReleasesTest, AreForgottenWhereTheGranuleIsWantedAgainFirst) {
  auto plan = std::make_shared<plan::MigrationPlan>();
  plan->granule_bytes = kGranule;
  plan->layout_end = MiB(64).count();
  plan->layers.resize(8);
  plan->layers[1] = actions_;
  plan->layers[2].fetch.push_back({Id(tensors_.back()), LayerId(3), false});
  mover_->SetPlan(plan, 1);
  Step();
  mover_->EnterLayer(2);
  Step();
  ReleaseAll();
  ReleaseAll();
  EXPECT_EQ(Where(tensors_.back()), Presence::kMapped);
  EXPECT_EQ(Where(tensors_[0]), Presence::kHole);
}

TEST_F(MoverTest, FetchingWhatIsThereMovesNothing) {
  char* const a = New('a');
  Fetch(a);
  Fetch(a, true);
  Step(3);
  EXPECT_EQ(mover_->Stats().bytes_in, Bytes(0));
  EXPECT_TRUE(Holds(a, 'a'));
  Free(a);
}

TEST_F(MoverTest, AGranuleFetchedForWritingIsWrittenOutAgain) {
  char* const a = NewEvicted('a');
  Fetch(a, true);
  Step();
  ASSERT_EQ(Where(a), Presence::kMapped);
  a[7] = 'b';  // no fault: the test thread would hang in it
  Evict(a);
  Step();
  Elsewhere([=] { EXPECT_EQ(a[7], 'b'); });
  Free(a);
}

// ---------------------------------------------------------------------------------------------------------------------
// Bad luck.

TEST_F(MoverTest, PinsLeaveFramesToEverythingElse) {
  std::vector<char*> pinned;
  for (int i = 0; i < kFrames - Residency::kFewestFrames; ++i) {
    pinned.push_back(New('p'));
    const Residency::Range range = residency_->RangeOf(pinned.back(), kGranule);
    Elsewhere([&] { ASSERT_TRUE(residency_->Pin(range).ok()); });
    Elsewhere([&] { ASSERT_TRUE(residency_->Pin(range).ok()); });  // again is no more
  }
  char* const one_more = New('q');
  const Residency::Range range = residency_->RangeOf(one_more, kGranule);
  Elsewhere([&] { EXPECT_EQ(residency_->Pin(range).code(), absl::StatusCode::kResourceExhausted); });
  std::vector<char*> others;
  for (int i = 0; i < kFrames; ++i) others.push_back(New('o'));
  for (char* other : others) EXPECT_TRUE(Holds(other, 'o'));
  EXPECT_EQ(residency_->Stats().pinned, kFrames - Residency::kFewestFrames);
  ASSERT_TRUE(residency_->Unpin(residency_->RangeOf(pinned[0], kGranule)).ok());
  ASSERT_TRUE(residency_->Unpin(residency_->RangeOf(pinned[0], kGranule)).ok());
  Elsewhere([&] { EXPECT_TRUE(residency_->Pin(range).ok()); });
}

TEST_F(MoverTest, ATouchWaitsForAnUnpinWhereEveryFrameIsPinned) {
  char* const away = NewEvicted('a');
  std::vector<char*> pinned;
  for (int i = 0; i < 8; ++i) {
    pinned.push_back(New('p'));
    const Residency::Range range = residency_->RangeOf(pinned.back(), kGranule);
    Elsewhere([&] { ASSERT_TRUE(residency_->Pin(range).ok()); });
  }
  residency_->SetFrameLimit(8);
  Elsewhere([&] { EXPECT_FALSE(residency_->Wait(Id(away)).ok()); });  // who asks by call hears of it
  std::future<char> touch = std::async(std::launch::async, [=] { return *away; });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  while (std::chrono::steady_clock::now() < end) mover_->RunOnce(1'000'000);
  ASSERT_NE(touch.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  ASSERT_EQ(troubles_.size(), 1u);
  EXPECT_NE(troubles_[0].find("8 of the budget's 8 frames"), std::string::npos) << troubles_[0];
  ASSERT_TRUE(residency_->Unpin(residency_->RangeOf(pinned[3], kGranule)).ok());
  Elsewhere([&] { EXPECT_EQ(touch.get(), 'a'); });
}

TEST_F(MoverTest, MorePinsThanSixteenBitsCountAreCounted) {
  char* const a = New('a');
  const Residency::Range range = residency_->RangeOf(a, kGranule);
  constexpr int kPins = 65'537;
  for (int i = 0; i < kPins; ++i) ASSERT_TRUE(residency_->Pin(range).ok());
  ASSERT_TRUE(residency_->Unpin(range).ok());
  Evict(a);
  Step();
  EXPECT_EQ(Where(a), Presence::kMapped);
  for (int i = 1; i < kPins; ++i) ASSERT_TRUE(residency_->Unpin(range).ok());
  EXPECT_FALSE(residency_->Unpin(range).ok());
}

TEST_F(MoverTest, ByDemandANewTensorWhereOneDiedIsTheLastToLeave) {
  std::vector<char*> old;
  for (int i = 0; i < kFrames - 1; ++i) old.push_back(New('o'));
  char* const dead = New('d');
  Free(dead);
  char* const reborn = New('r');
  ASSERT_EQ(reborn, dead);
  New('n');  // one more than there is room for
  EXPECT_EQ(Where(reborn), Presence::kMapped);
  EXPECT_EQ(Where(old.front()), Presence::kHole);
}

TEST_F(MoverTest, APinnedGranuleNeverMoves) {
  char* const a = New('a');
  const Residency::Range range = residency_->RangeOf(a, kGranule);
  Elsewhere([&] { ASSERT_TRUE(residency_->Pin(range).ok()); });
  Evict(a);
  WriteBack(a);
  std::vector<char*> others;
  for (int i = 0; i < 2 * kFrames; ++i) others.push_back(New('o'));
  residency_->SetFrameLimit(8);
  Step(5);
  EXPECT_EQ(Where(a), Presence::kMapped);
  EXPECT_EQ(*a, 'a');
  ASSERT_TRUE(residency_->Unpin(range).ok());
  EXPECT_FALSE(residency_->Unpin(range).ok());
  Evict(a);
  Step();
  EXPECT_EQ(Where(a), Presence::kHole);
}

TEST_F(MoverTest, ASmallerBudgetIsReachedAndKept) {
  std::vector<char*> tensors;
  for (int i = 0; i < 24; ++i) tensors.push_back(New(static_cast<char>('A' + i)));
  EXPECT_LE(residency_->Stats().frames_in_use, kFrames);
  residency_->SetFrameLimit(8);
  Step(4);
  EXPECT_LE(residency_->Stats().frames_in_use, 8);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 24; ++i) {
      EXPECT_TRUE(Holds(tensors[i], static_cast<char>('A' + i))) << i;
      EXPECT_LE(residency_->Stats().frames_in_use, 8);
    }
  }
  residency_->SetFrameLimit(24);
  for (int i = 0; i < 24; ++i) EXPECT_TRUE(Holds(tensors[i], static_cast<char>('A' + i)));
  EXPECT_EQ(residency_->Stats().peak_frames, 24);
  for (char* tensor : tensors) Free(tensor);
  ExpectNothingLeft();
}

TEST_F(MoverTest, WhoWaitsWhileASmallerBudgetIsReachedIsNotRefused) {
  char* const away = NewEvicted('a');
  std::vector<char*> others;
  for (int i = 0; i < kFrames; ++i) others.push_back(New('o'));
  for (char* const other : others) {
    // Clean: each of their frames comes free at once, and makes no room as long as there are too many.
    WriteBack(other);
    Step();
  }
  residency_->SetFrameLimit(8);
  absl::Status status;
  Elsewhere([&] { status = residency_->Wait(Id(away)); });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Holds(away, 'a'));
  EXPECT_LE(residency_->Stats().frames_in_use, 8);
}

TEST_F(MoverTest, AllocationFailsOnlyWhenNeitherTierHasRoom) {
  std::vector<char*> tensors;
  while (char* tensor = New('t')) {
    tensors.push_back(tensor);
    ASSERT_LE(std::ssize(tensors), kSlots + kFrames);
  }
  // A few frames are kept for exchanging what has a slot.
  EXPECT_GE(std::ssize(tensors), kSlots + kFrames - 4);
  for (char* tensor : tensors) ASSERT_TRUE(Holds(tensor, 't'));
  // Room again, wherever it was made.
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < tensors.size(); i += 2) Free(tensors[i]);
    for (size_t i = 0; i < tensors.size(); i += 2) ASSERT_NE(tensors[i] = New('t'), nullptr) << round << " " << i;
  }
  for (char* tensor : tensors) Free(tensor);
  ExpectNothingLeft();
}

TEST_F(MoverTest, AnAllocationThatFailsTakesNoRoomFromTheNext) {
  tier_.SetFull(true);
  const Bytes too_much = kGranule * (kFrames + 1);
  EXPECT_EQ(allocator_->Allocate(too_much, Bytes(64), false, nullptr), nullptr);
  // As much as fits without the slow tier, at another place than the one that failed.
  void* const shifted = allocator_->Allocate(kGranule * 10, Bytes(MiB(1)), false, nullptr);
  EXPECT_NE(shifted, nullptr);
  EXPECT_EQ(residency_->Stats().backed, 10);
}

TEST_F(MoverTest, APlanGivenUpInTheMiddleLosesNothing) {
  char* const a = New('a');
  char* const b = NewEvicted('b');
  tier_.Hold(true);
  plan::LayerActions actions;
  actions.release.push_back(Id(a));
  actions.fetch.push_back({Id(b), LayerId(2), false});
  Do(actions);
  ASSERT_EQ(tier_.Waiting().size(), 2u);
  mover_->SetPlan(nullptr, 5);
  Step();
  // In the other order.
  tier_.Release(1);
  tier_.Release(0);
  Step();
  tier_.Hold(false);
  EXPECT_TRUE(Holds(a, 'a'));
  EXPECT_TRUE(Holds(b, 'b'));
  Free(a);
  Free(b);
}

}  // namespace
}  // namespace thermocline::migrate

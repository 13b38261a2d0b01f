// The migration races, one at a time: the test stands in the middle of a transfer, which the slow tier holds back, does
// what a program may do there, and looks at the bytes. The mover is stepped by hand; touches that must fault come from
// another thread.
#include "src/migrate/mover.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/arena/allocator.h"
#include "tests/tier/held_tier.h"

namespace thermocline::migrate {
namespace {

using arena::Presence;
using arena::Residency;
using tier::Direction;

constexpr Bytes kGranule = KiB(64);
constexpr int kFrames = 16;
constexpr int kSlots = 40;

// The real calls; nothing can be mapped at a tensor's address while `full`.
class FullMemory final : public os::Memory {
 public:
  absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) override { return real_.Reserve(size, alignment); }
  int MapFresh(char* at, Bytes size, bool huge) override { return real_.MapFresh(at, size, huge); }
  int Attach(char* home, char* at, Bytes size, os::Protection p) override {
    return full ? ENOMEM : real_.Attach(home, at, size, p);
  }
  int Detach(char* at, char* home, Bytes size) override { return real_.Detach(at, home, size); }
  int Protect(char* at, Bytes size, os::Protection p) override { return real_.Protect(at, size, p); }
  int Discard(char* at, Bytes size) override { return real_.Discard(at, size); }
  void Collapse(char* at, Bytes size) override { real_.Collapse(at, size); }
  int Unmap(char* at, Bytes size) override { return real_.Unmap(at, size); }

  std::atomic<bool> full{false};

 private:
  os::Memory& real_ = os::RealMemory();
};

class MoverTest : public ::testing::Test {
 protected:
  MoverTest() : tier_(kGranule, kSlots) {
    arena::ResidencyOptions options;
    options.granule_bytes = kGranule;
    options.address_space = MiB(64);
    options.frames = kFrames;
    options.most_frames = 2 * kFrames;
    residency_ = *Residency::Create(options, memory_, tier_, MonotonicClock());
    allocator_ = *arena::Allocator::Create(*residency_);
    MoverOptions mover_options;
    mover_options.read_ahead = 0;
    mover_options.failure_pause_nanos = 1'000'000;
    mover_options.on_trouble = [this](const absl::Status& trouble) { troubles_.emplace_back(trouble.message()); };
    mover_ = std::make_unique<Mover>(*residency_, tier_, MonotonicClock(), mover_options);
  }

  // A tensor of one granule, filled with the byte.
  char* New(char fill) {
    auto* pointer = static_cast<char*>(allocator_->Allocate(kGranule, Bytes(64), false, nullptr));
    if (pointer != nullptr) Elsewhere([=] { std::memset(pointer, fill, kGranule.count()); });
    return pointer;
  }
  void Free(char* pointer) { ASSERT_TRUE(allocator_->Free(pointer, nullptr)); }
  GranuleId Id(const char* pointer) const { return residency_->GranuleOf(pointer); }
  Presence Where(const char* pointer) const {
    Residency::Lock lock(*residency_);
    return residency_->GranuleLocked(Id(pointer)).presence.load();
  }
  bool IsClean(const char* pointer) const {
    Residency::Lock lock(*residency_);
    return residency_->GranuleLocked(Id(pointer)).clean;
  }

  // Runs it on another thread while the mover is stepped here, until it is done.
  template <typename Action>
  void Elsewhere(Action action) {
    std::future<void> done = std::async(std::launch::async, action);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (done.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "the thread hangs";
      mover_->RunOnce(1'000'000);
    }
    done.get();
  }
  bool Holds(const char* pointer, char fill) {
    bool right = false;
    Elsewhere([&] { right = std::all_of(pointer, pointer + kGranule.count(), [=](char c) { return c == fill; }); });
    return right;
  }
  void Step(int turns = 1) {
    for (int i = 0; i < turns; ++i) mover_->RunOnce(0);
  }
  // Plans that do one thing in layer 0; entered as a plan's second layer, so that nothing else happens.
  void Do(const plan::LayerActions& actions) {
    auto plan = std::make_shared<plan::MigrationPlan>();
    plan->granule_bytes = kGranule;
    plan->layout_end = MiB(64).count();
    plan->layers.resize(8);
    plan->layers[1] = actions;
    mover_->SetPlan(plan, 1);
    Step();
  }
  void Evict(char* pointer) {
    plan::LayerActions actions;
    actions.release.push_back(Id(pointer));
    Do(actions);
  }
  void WriteBack(char* pointer) {
    plan::LayerActions actions;
    actions.write_back.push_back(Id(pointer));
    Do(actions);
  }
  void Fetch(char* pointer, bool for_writing = false) {
    plan::LayerActions actions;
    actions.fetch.push_back({Id(pointer), LayerId(2), for_writing});
    Do(actions);
  }
  // In the slow tier and nowhere else.
  char* NewEvicted(char fill) {
    char* const pointer = New(fill);
    Evict(pointer);
    Step();
    EXPECT_EQ(Where(pointer), Presence::kHole);
    return pointer;
  }

  // Dead granules keep what they have until it is wanted; all of it can be had.
  void ExpectNothingLeft() {
    Step();
    {
      Residency::Lock lock(*residency_);
      residency_->ReclaimDeadLocked(residency_->frames().limit());
    }
    EXPECT_EQ(tier_.slots_taken(), 0);
    EXPECT_EQ(residency_->Stats().slots, 0);
    EXPECT_EQ(residency_->Stats().frames_in_use, 0);
    EXPECT_EQ(residency_->Stats().backed, 0);
  }

  FullMemory memory_;
  tier::HeldTier tier_;
  std::vector<std::string> troubles_;
  std::unique_ptr<Residency> residency_;
  std::unique_ptr<arena::Allocator> allocator_;
  std::unique_ptr<Mover> mover_;
};

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

TEST_F(MoverTest, AFailedWriteKeepsTheBytesInFastMemoryAndSaysWhy) {
  char* const a = New('a');
  for (const int error : {ENOSPC, EIO}) {
    tier_.FailWhere([=](const tier::Transfer&) { return error; });
    Evict(a);
    Step();
    EXPECT_EQ(Where(a), Presence::kMapped);
    EXPECT_NE(residency_->last_error().message().find(strerror(error)), std::string::npos)
        << residency_->last_error();
    EXPECT_TRUE(Holds(a, 'a'));
  }
  EXPECT_EQ(residency_->Stats().io_errors, 2);
  tier_.FailWhere(nullptr);
  Evict(a);
  Step();
  EXPECT_EQ(Where(a), Presence::kHole);
  EXPECT_TRUE(Holds(a, 'a'));
  Free(a);
}

TEST_F(MoverTest, AFailedWriteBackIsTriedAgain) {
  char* const a = New('a');
  tier_.FailWhere([](const tier::Transfer&) { return EIO; });
  WriteBack(a);
  Step();
  EXPECT_FALSE(IsClean(a));
  tier_.FailWhere(nullptr);
  WriteBack(a);
  Step();
  EXPECT_TRUE(IsClean(a));
  Free(a);
}

TEST_F(MoverTest, AReadThatFailsNowAndThenIsTriedAgain) {
  char* const a = NewEvicted('a');
  int failures = 3;
  tier_.FailWhere([&](const tier::Transfer&) { return failures-- > 0 ? EIO : 0; });
  EXPECT_TRUE(Holds(a, 'a'));
  EXPECT_TRUE(residency_->last_error().ok()) << residency_->last_error();
  Free(a);
}

TEST_F(MoverTest, AReadThatKeepsFailingIsAnErrorForWhoeverWaits) {
  char* const a = NewEvicted('a');
  tier_.FailWhere([](const tier::Transfer&) { return EIO; });
  Elsewhere([&] { EXPECT_EQ(residency_->Wait(Id(a)).code(), absl::StatusCode::kDataLoss); });
  EXPECT_EQ(Where(a), Presence::kFailed);
  EXPECT_EQ(residency_->Stats().frames_in_use, 0);
  Free(a);
  EXPECT_EQ(tier_.slots_taken(), 0);
  tier_.FailWhere(nullptr);
  char* const b = New('b');
  EXPECT_EQ(b, a);
  EXPECT_TRUE(Holds(b, 'b')) << "the next tensor there has nothing to do with the loss";
  Free(b);
}

TEST_F(MoverTest, ALossNobodyNeedsIsNone) {
  char* const a = NewEvicted('a');
  tier_.Hold(true);
  Fetch(a);
  Free(a);
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(tier_.Waiting().size(), 1u);
    tier_.Release(0, EIO);
    Step();
  }
  tier_.Hold(false);
  EXPECT_TRUE(residency_->last_error().ok());
  EXPECT_EQ(tier_.slots_taken(), 0);
  EXPECT_EQ(residency_->Stats().backed, 0);
  char* const b = New('b');
  ASSERT_EQ(a, b);
  EXPECT_TRUE(Holds(b, 'b'));
  Free(b);
}

TEST_F(MoverTest, TouchingLostBytesIsSigbus) {
  char* const a = NewEvicted('a');
  tier_.FailWhere([](const tier::Transfer&) { return EIO; });
  Elsewhere([&] { residency_->Wait(Id(a)).IgnoreError(); });
  for (const bool ignored : {false, true}) {
    residency_->PrepareFork();
    const pid_t child = fork();
    if (child == 0) {
      residency_->ChildAfterFork();
      // A sanitizer's handler, which would exit, does not stand in the way; and it can't be ignored all the same.
      struct sigaction action = {};
      action.sa_handler = ignored ? SIG_IGN : SIG_DFL;
      os::SetChainedAction(SIGBUS, &action, nullptr);
      alarm(10);
      _exit(*const_cast<volatile char*>(a) == 'a' ? 1 : 2);
    }
    residency_->ParentAfterFork();
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
  }
  Free(a);
}

TEST_F(MoverTest, ATouchThatNoFrameCanBeHadForEndsWithAnErrorWhenEveryWriteFails) {
  char* const away = NewEvicted('a');
  std::vector<char*> others;
  for (int i = 0; i < kFrames; ++i) others.push_back(New('o'));
  tier_.FailWhere([](const tier::Transfer& transfer) { return transfer.direction == Direction::kOut ? EIO : 0; });
  Elsewhere([&] { EXPECT_FALSE(residency_->Wait(Id(away)).ok()); });
  tier_.FailWhere(nullptr);
  EXPECT_TRUE(Holds(away, 'a')) << "nothing was lost, and a refusal of before is none of this touch's business";
  for (char* other : others) EXPECT_TRUE(Holds(other, 'o'));
}

TEST_F(MoverTest, AnErrorIsReportedOnceAndTheRunGoesOn) {
  char* const a = New('a');
  EXPECT_TRUE(residency_->TakeError().ok());
  for (int round = 0; round < 2; ++round) {
    tier_.FailWhere([](const tier::Transfer&) { return EIO; });
    Evict(a);
    Step();
    EXPECT_EQ(residency_->TakeError().code(), absl::StatusCode::kUnavailable) << round;
    EXPECT_TRUE(residency_->TakeError().ok()) << "said before";
    tier_.FailWhere(nullptr);
    Evict(a);
    Step();
    ASSERT_EQ(Where(a), Presence::kHole);
    EXPECT_TRUE(residency_->TakeError().ok());
    EXPECT_TRUE(Holds(a, 'a'));
    Elsewhere([=] { a[0] = 'a'; });
  }
  EXPECT_EQ(residency_->Stats().io_errors, 2);
  EXPECT_EQ(troubles_.size(), 2u) << "once for each time that writes begin to fail";
  Free(a);
}

TEST_F(MoverTest, AnEvictionThatFailsWithoutRoomForAMappingIsTriedAgain) {
  for (const bool mapping_first : {true, false}) {
    char* const a = New('a');
    tier_.Hold(true);
    Evict(a);
    memory_.full = true;
    tier_.Release(0, EIO);
    Step();
    ASSERT_EQ(Where(a), Presence::kEvicting) << "it can be neither written nor mapped";
    tier_.Hold(false);
    if (mapping_first) {
      memory_.full = false;
      EXPECT_TRUE(Holds(a, 'a'));
    } else {
      Step(3);  // written out instead
      EXPECT_EQ(Where(a), Presence::kHole);
      EXPECT_EQ(residency_->Stats().frames_in_use, 0);
      memory_.full = false;
      EXPECT_TRUE(Holds(a, 'a'));
    }
    EXPECT_EQ(residency_->frames_leaving(), 0);
    Free(a);
    ExpectNothingLeft();
  }
}

TEST_F(MoverTest, ATensorFreedWhileItsEvictionIsStrandedLeavesNothingBehind) {
  char* const a = New('a');
  tier_.Hold(true);
  Evict(a);
  memory_.full = true;
  tier_.Release(0, EIO);
  Step();
  ASSERT_EQ(Where(a), Presence::kEvicting);
  Free(a);
  memory_.full = false;
  tier_.Hold(false);
  ExpectNothingLeft();
}

TEST_F(MoverTest, AnAllocationFailsWhenTheSlowTierTakesNoMore) {
  for (const int error : {EDQUOT, ENOSPC, EIO}) {
    std::vector<char*> tensors;
    for (int i = 0; i < kFrames; ++i) tensors.push_back(New('t'));
    tier_.FailWhere([=](const tier::Transfer& transfer) { return transfer.direction == Direction::kOut ? error : 0; });
    auto* more = static_cast<char*>(allocator_->Allocate(kGranule, Bytes(64), false, nullptr));
    ASSERT_NE(more, nullptr);
    bool secured = true;
    Elsewhere([&] { secured = residency_->Secure(residency_->RangeOf(more, kGranule)); });
    EXPECT_FALSE(secured);
    Free(more);
    for (char* tensor : tensors) EXPECT_TRUE(Holds(tensor, 't'));
    EXPECT_NE(residency_->TakeError().message().find(strerror(error)), std::string::npos);
    // What is freed makes room in fast memory.
    Free(tensors.back());
    tensors.back() = New('n');
    EXPECT_TRUE(Holds(tensors.back(), 'n'));
    // And when it takes data again, everything goes on.
    tier_.FailWhere(nullptr);
    more = static_cast<char*>(allocator_->Allocate(kGranule, Bytes(64), false, nullptr));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // until it is tried again
    Elsewhere([&] { secured = residency_->Secure(residency_->RangeOf(more, kGranule)); });
    EXPECT_TRUE(secured);
    Free(more);
    for (char* tensor : tensors) Free(tensor);
    ExpectNothingLeft();
  }
}

TEST_F(MoverTest, ATouchThatNoFrameCanBeFreedForWaitsUntilTheTierWorksAgain) {
  char* const away = NewEvicted('a');
  std::vector<char*> others;
  for (int i = 0; i < kFrames; ++i) others.push_back(New('o'));
  tier_.FailWhere([](const tier::Transfer& transfer) { return transfer.direction == Direction::kOut ? EIO : 0; });
  std::future<char> touch = std::async(std::launch::async, [=] { return *away; });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (std::chrono::steady_clock::now() < end) mover_->RunOnce(1'000'000);
  ASSERT_NE(touch.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(troubles_.size(), 2u);  // writes fail; a thread waits
  EXPECT_NE(troubles_.back().find("a thread waits for fast memory"), std::string::npos) << troubles_.back();
  EXPECT_LT(residency_->Stats().io_errors, 500) << "evictions have stopped, but for one now and then";
  tier_.FailWhere(nullptr);
  Elsewhere([&] { EXPECT_EQ(touch.get(), 'a'); });
  for (char* other : others) EXPECT_TRUE(Holds(other, 'o'));
}

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

// Writes and reads of the slow tier that fail, once or for good: no byte is lost, nobody hangs, and what is said is
// true.
#include "tests/migrate/mover_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <string>
#include <thread>
#include <vector>

namespace thermocline::migrate {
namespace {

TEST_F(MoverTest, AFailedWriteKeepsTheBytesInFastMemoryAndSaysWhy) {
  char* const a = New('a');
  for (const int error : {ENOSPC, EIO}) {
    tier_.FailWhere([=](const tier::Transfer&) { return error; });
    Evict(a);
    Step();
    EXPECT_EQ(Where(a), Presence::kMapped);
    EXPECT_NE(residency_->last_error().message().find(strerror(error)), std::string::npos) << residency_->last_error();
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

TEST_F(MoverTest, WhoWaitsHearsOfItWhereAPlannedEvictionCanNotBegin) {
  std::vector<char*> tensors;
  for (int i = 0; i < kSlots; ++i) tensors.push_back(NewEvicted('a'));
  // A few frames are kept for exchanging what has a slot: they go.
  const int frames = kFrames - 4;
  for (int i = 0; i < frames; ++i) tensors.push_back(New('b'));
  residency_->SetFrameLimit(frames);
  char* const away = tensors.front();
  std::future<absl::Status> waited = std::async(std::launch::async, [&] { return residency_->Wait(Id(away)); });
  while (true) {
    Residency::Lock lock(*residency_);
    if (residency_->HasDemandLocked()) break;
  }
  Evict(tensors.back());  // in the turn in which the demand is seen; there is no slot for it
  ASSERT_EQ(waited.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_TRUE(absl::IsUnavailable(waited.get()));
  Free(tensors.back());
  tensors.pop_back();
  for (char* const tensor : tensors) Free(tensor);
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
    ASSERT_TRUE(Strand(a));
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

// Sees nothing; it asks for shared frames, so that what is mapped changes its backing.
class SharedGate final : public arena::AccessGate {
 public:
  const char* name() const override { return "shared"; }
  bool needs_shared_frames() const override { return true; }
  bool sees_every_write() const override { return true; }
  int Arm(char*, Bytes) override { return 0; }
  int Open(char*, Bytes, os::FaultAccess) override { return 0; }
  int Close(char*, Bytes) override { return 0; }
  int Disarm(char*, Bytes) override { return 0; }
};
class NoRecorder final : public arena::AccessRecorder {
 public:
  Window OnTouch(char* address, os::FaultAccess) override { return {address, address + 1}; }
};

TEST_F(MoverTest, WhatCanNotBeMappedWhenItsBackingChangesIsTriedAgain) {
  char* const a = New('a');
  SharedGate gate;
  NoRecorder recorder;
  residency_->SetAccessGate(&gate);
  memory_.full = true;
  residency_->Arm(&recorder);
  ASSERT_EQ(Where(a), Presence::kEvicting);
  memory_.full = false;
  residency_->Disarm();
  Step(2);
  EXPECT_EQ(Where(a), Presence::kMapped) << "nobody touched it, and its frame is lost to all";
  EXPECT_TRUE(Holds(a, 'a'));
  residency_->SetAccessGate(nullptr);
  Free(a);
  ExpectNothingLeft();
}

TEST_F(MoverTest, ATensorFreedWhileItsEvictionIsStrandedLeavesNothingBehind) {
  char* const a = New('a');
  ASSERT_TRUE(Strand(a));
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

}  // namespace
}  // namespace thermocline::migrate

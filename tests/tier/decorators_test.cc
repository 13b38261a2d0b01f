// The emulated tier's timing, the verifying tier's checks, and the tests' own tiers.
#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/tier/checksum.h"
#include "src/tier/emulated_tier.h"
#include "src/tier/measure_link.h"
#include "src/tier/verifying_tier.h"
#include "tests/base/hand_clock.h"
#include "tests/tier/failing_tier.h"
#include "tests/tier/frames.h"
#include "tests/tier/held_tier.h"

namespace thermocline::tier {
namespace {

constexpr Bytes kGranule = KiB(64);

// 65536 B/s x 1e6: a granule takes one microsecond.
EmulatedTierOptions OneMicrosecond(const Clock* clock, bool full_duplex, double latency) {
  EmulatedTierOptions options;
  options.granule_bytes = kGranule;
  options.capacity = kGranule * 16;
  options.in = options.out = BytesPerSecond(65536e6);
  options.latency_seconds = latency;
  options.full_duplex = full_duplex;
  options.clock = clock;
  return options;
}

std::vector<uint64_t> TagsAt(EmulatedTier& tier, HandClock& clock, int64_t now) {
  clock.now = now;
  std::vector<Completion> completions;
  tier.Reap(&completions, 0);
  std::vector<uint64_t> tags;
  for (const Completion& completion : completions) tags.push_back(completion.tag);
  return tags;
}

TEST(EmulatedTierTest, HalfDuplexSharesOneLinkInOrderOfSubmission) {
  HandClock clock;
  clock.now = 0;
  auto tier = *EmulatedTier::Create(OneMicrosecond(&clock, false, 500e-9));
  const Frames frames(3, kGranule);
  const SlotId a = tier->AllocateSlot(), b = tier->AllocateSlot();
  tier->Submit(
      {{1, Direction::kOut, a, frames[0]}, {2, Direction::kIn, b, frames[1]}, {3, Direction::kOut, b, frames[2]}});
  EXPECT_EQ(tier->NextCompletionNanos(), 1500);
  EXPECT_TRUE(TagsAt(*tier, clock, 1499).empty());
  EXPECT_EQ(TagsAt(*tier, clock, 1500), std::vector<uint64_t>{1});
  EXPECT_EQ(TagsAt(*tier, clock, 2500), std::vector<uint64_t>{2});
  EXPECT_EQ(TagsAt(*tier, clock, 9999), std::vector<uint64_t>{3});
  EXPECT_EQ(tier->NextCompletionNanos(), -1);
}

TEST(EmulatedTierTest, FullDuplexHasALinkEachWay) {
  HandClock clock;
  clock.now = 0;
  auto tier = *EmulatedTier::Create(OneMicrosecond(&clock, true, 0));
  const Frames frames(3, kGranule);
  const SlotId a = tier->AllocateSlot(), b = tier->AllocateSlot();
  tier->Submit(
      {{1, Direction::kOut, a, frames[0]}, {2, Direction::kIn, b, frames[1]}, {3, Direction::kOut, b, frames[2]}});
  EXPECT_EQ(TagsAt(*tier, clock, 1000), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(TagsAt(*tier, clock, 2000), std::vector<uint64_t>{3});
}

TEST(EmulatedTierTest, AnotherSpeedIsThatOfWhatIsSubmittedFromThenOn) {
  HandClock clock;
  clock.now = 0;
  auto tier = *EmulatedTier::Create(OneMicrosecond(&clock, false, 0));
  const Frames frames(3, kGranule);
  const SlotId slot = tier->AllocateSlot();
  tier->Submit({{1, Direction::kOut, slot, frames[0]}});
  tier->SetSpeed(BytesPerSecond(65536e6 / 4), BytesPerSecond(65536e6 / 2));
  tier->Submit({{2, Direction::kIn, slot, frames[1]}, {3, Direction::kOut, slot, frames[2]}});
  EXPECT_EQ(TagsAt(*tier, clock, 1000), std::vector<uint64_t>{1});
  EXPECT_TRUE(TagsAt(*tier, clock, 4999).empty());
  EXPECT_EQ(TagsAt(*tier, clock, 5000), std::vector<uint64_t>{2});
  EXPECT_EQ(TagsAt(*tier, clock, 7000), std::vector<uint64_t>{3});
}

TEST(EmulatedTierTest, BytesMoveOnlyWhenTheTimeHasCome) {
  HandClock clock;
  clock.now = 0;
  auto tier = *EmulatedTier::Create(OneMicrosecond(&clock, false, 0));
  const Frames frames(2, kGranule);
  const SlotId slot = tier->AllocateSlot();
  frames.Fill(0, 1);
  tier->Submit({{1, Direction::kOut, slot, frames[0]}});
  frames.Fill(0, 2);  // too early: the test of an engine that does this must fail
  TagsAt(*tier, clock, 1000);
  ASSERT_EQ(tier->ReadSync(slot, frames[1]), 0);
  EXPECT_TRUE(frames.Holds(1, 2));
}

TEST(EmulatedTierTest, AClockSetForwardEndsAWait) {
  HandClock clock;
  auto tier = *EmulatedTier::Create(OneMicrosecond(&clock, false, 0));
  const Frames frames(1, kGranule);
  tier->Submit({{9, Direction::kOut, tier->AllocateSlot(), frames[0]}});
  std::thread other([&clock] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    clock.now = 1'000'000'000;
  });
  std::vector<Completion> completions;
  tier->Reap(&completions, -1);
  other.join();
  EXPECT_EQ(completions.size(), 1u);
}

TEST(ChecksumTest, IsTheCastagnoliCrcWithAndWithoutTheInstruction) {
  EXPECT_EQ(Crc32c("123456789", 9), 0xe3069283u);
  EXPECT_EQ(Crc32cPortable("123456789", 9), 0xe3069283u);
  EXPECT_EQ(Crc32c("", 0), 0u);
  const Frames frames(1, kGranule);
  frames.Fill(0, 42);
  for (int offset = 0; offset < 9; ++offset) {
    for (int bytes : {1, 7, 8, 63, 4096, 65000}) {
      EXPECT_EQ(Crc32c(frames[0] + offset, bytes), Crc32cPortable(frames[0] + offset, bytes)) << offset << " " << bytes;
    }
  }
}

class VerifyingTierTest : public ::testing::Test {
 protected:
  VerifyingTierTest() : frames_(2, kGranule) {
    auto under = std::make_unique<HeldTier>(kGranule, 8);
    under_ = under.get();
    tier_ = std::make_unique<VerifyingTier>(std::move(under));
    slot_ = tier_->AllocateSlot();
    frames_.Fill(0, 1);
  }
  int Move(Direction direction, int frame) {
    std::vector<Completion> completions;
    tier_->Submit({{77, direction, slot_, frames_[frame]}});
    tier_->Reap(&completions, 1'000'000'000);
    EXPECT_EQ(completions.at(0).tag, 77u);
    return completions.at(0).error;
  }
  const Frames frames_;
  HeldTier* under_;
  std::unique_ptr<VerifyingTier> tier_;
  SlotId slot_;
};

TEST_F(VerifyingTierTest, ABitThatFlippedInTheSlowTierIsFound) {
  ASSERT_EQ(Move(Direction::kOut, 0), 0);
  EXPECT_EQ(Move(Direction::kIn, 1), 0);
  under_->SlotMemory(slot_)[12345] ^= 4;
  EXPECT_EQ(Move(Direction::kIn, 1), EBADMSG);
  EXPECT_EQ(tier_->ReadSync(slot_, frames_[1]), EBADMSG);
  EXPECT_EQ(tier_->Stats().failures, 2);
  EXPECT_EQ(tier_->Stats().bytes_in, kGranule);
  ASSERT_EQ(Move(Direction::kOut, 0), 0);  // written again, it is whole again
  EXPECT_EQ(Move(Direction::kIn, 1), 0);
}

TEST_F(VerifyingTierTest, ASlotFreedOrWhoseWriteFailedIsNotHeldToItsOldSum) {
  ASSERT_EQ(Move(Direction::kOut, 0), 0);
  under_->FailWhere([](const Transfer& transfer) { return transfer.direction == Direction::kOut ? EIO : 0; });
  under_->SlotMemory(slot_)[0] ^= 1;
  EXPECT_EQ(Move(Direction::kOut, 0), EIO);
  EXPECT_EQ(Move(Direction::kIn, 1), 0);
  under_->FailWhere(nullptr);
  ASSERT_EQ(Move(Direction::kOut, 0), 0);
  tier_->FreeSlot(slot_);
  slot_ = tier_->AllocateSlot();
  under_->SlotMemory(slot_)[0] ^= 1;
  EXPECT_EQ(Move(Direction::kIn, 1), 0);
}

TEST_F(VerifyingTierTest, AGranuleThatIsNoLongerThereIsHandedOutUnchecked) {
  // Between BeginEvict and Submit a touch may take the granule back: its home is a hole then.
  void* const hole = mmap(nullptr, kGranule.count(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(hole, MAP_FAILED);
  under_->Hold(true);
  ASSERT_EQ(tier_->Submit({{77, Direction::kOut, slot_, hole}}), 1);
  under_->Release(0, EFAULT);
  std::vector<Completion> completions;
  tier_->Reap(&completions, 1'000'000'000);
  EXPECT_EQ(completions.at(0).error, EFAULT);
  under_->Hold(false);
  EXPECT_EQ(Move(Direction::kIn, 1), 0);
  munmap(hole, kGranule.count());
}

TEST(HeldTierTest, CompletesWhatIsReleasedInAnyOrder) {
  HeldTier tier(kGranule, 4);
  const Frames frames(2, kGranule);
  frames.Fill(0, 1);
  frames.Fill(1, 2);
  const SlotId a = tier.AllocateSlot(), b = tier.AllocateSlot();
  tier.Hold(true);
  tier.Submit({{1, Direction::kOut, a, frames[0]}, {2, Direction::kOut, b, frames[1]}});
  std::vector<Completion> completions;
  tier.Reap(&completions, 0);
  EXPECT_TRUE(completions.empty());
  ASSERT_TRUE(tier.WaitUntilHeld(2));
  tier.Release(1);
  tier.Reap(&completions, -1);
  ASSERT_EQ(completions.size(), 1u);
  EXPECT_EQ(completions[0].tag, 2u);
  EXPECT_TRUE(tier.ReleaseWhere([](const Transfer& transfer) { return transfer.tag == 1; }, ENOSPC));
  tier.Reap(&completions, -1);
  EXPECT_EQ(completions.at(1).error, ENOSPC);
  EXPECT_EQ(tier.Stats().in_flight, 0);
}

TEST(FailingTierTest, FailsEveryNthTransferOfADirection) {
  FailingTier tier(std::make_unique<HeldTier>(kGranule, 4));
  const Frames frames(1, kGranule);
  const SlotId slot = tier.AllocateSlot();
  tier.FailEvery(Direction::kOut, 3, ENOSPC);
  std::vector<int> errors;
  for (int i = 0; i < 6; ++i) {
    std::vector<Completion> completions;
    ASSERT_EQ(tier.Submit({{1, Direction::kOut, slot, frames[0]}}), 1);
    tier.Reap(&completions, -1);
    errors.push_back(completions.at(0).error);
  }
  EXPECT_EQ(errors, (std::vector<int>{0, 0, ENOSPC, 0, 0, ENOSPC}));
  EXPECT_EQ(tier.Stats().failures, 2);
  tier.SetFull(true);
  EXPECT_EQ(tier.AllocateSlot(), kNoSlot);
}

// An emulated tier whose clock is set to the next completion by each Reap: time passes only there.
class SteppedTier final : public BlockTier {
 public:
  SteppedTier(std::unique_ptr<EmulatedTier> under, HandClock* clock) : under_(std::move(under)), clock_(clock) {}
  std::string Describe() const override { return under_->Describe(); }
  Bytes granule_bytes() const override { return under_->granule_bytes(); }
  Bytes capacity() const override { return under_->capacity(); }
  SlotId AllocateSlot() override { return under_->AllocateSlot(); }
  void FreeSlot(SlotId slot) override { under_->FreeSlot(slot); }
  int Submit(absl::Span<const Transfer> transfers) override { return under_->Submit(transfers); }
  int max_in_flight() const override { return under_->max_in_flight(); }
  void Reap(std::vector<Completion>* completions, int64_t) override {
    clock_->now = std::max<int64_t>(clock_->now, under_->NextCompletionNanos());
    under_->Reap(completions, 0);
  }
  void Wake() override { under_->Wake(); }
  int ReadSync(SlotId slot, void* memory) override { return under_->ReadSync(slot, memory); }
  BlockTierStats Stats() const override { return under_->Stats(); }

 private:
  std::unique_ptr<EmulatedTier> under_;
  HandClock* const clock_;
};

LinkSpeed SpeedOf(bool full_duplex) {
  HandClock clock;
  EmulatedTierOptions options;
  options.granule_bytes = kGranule;
  options.capacity = kGranule * 32;
  options.in = BytesPerSecond(1e9);
  options.out = BytesPerSecond(5e8);
  options.latency_seconds = 200e-6;
  options.full_duplex = full_duplex;
  options.clock = &clock;
  SteppedTier tier(*EmulatedTier::Create(options), &clock);
  const Frames frames(16, kGranule);
  LinkMeasurement how;
  how.seconds = 0.1;
  how.clock = &clock;
  const absl::StatusOr<LinkSpeed> speed = MeasureLink(tier, absl::MakeSpan(frames[0], 16 * kGranule.count()), how);
  EXPECT_TRUE(speed.ok()) << speed.status();
  for (int i = 0; i < 32; ++i) EXPECT_NE(tier.AllocateSlot(), kNoSlot) << "a slot was not given back";
  return speed.ok() ? *speed : LinkSpeed{};
}

TEST(MeasureLinkTest, FindsTheSpeedOfAHalfDuplexLinkAndFreesItsSlots) {
  const LinkSpeed speed = SpeedOf(false);
  EXPECT_NEAR(speed.in.rate(), 1e9, 2e7);
  EXPECT_NEAR(speed.out.rate(), 5e8, 1e7);
  EXPECT_NEAR(speed.mixed.rate(), 2e9 / 3, 2e7);  // a byte each way takes 1 + 2 ns
  EXPECT_NEAR(speed.latency_seconds, 200e-6, 5e-6);
  EXPECT_TRUE(speed.half_duplex);
}

TEST(MeasureLinkTest, TellsALinkWithTwoDirectionsFromOneThatIsShared) {
  const LinkSpeed speed = SpeedOf(true);
  EXPECT_GT(speed.mixed.rate(), 9e8);
  EXPECT_FALSE(speed.half_duplex);
}

TEST(MeasureLinkTest, WritesNoMoreThanItMay) {
  HeldTier tier(kGranule, 32);
  const Frames frames(4, kGranule);
  LinkMeasurement how;
  how.seconds = 0.05;
  how.most_written = kGranule * 20;
  const absl::StatusOr<LinkSpeed> speed = MeasureLink(tier, absl::MakeSpan(frames[0], 4 * kGranule.count()), how);
  ASSERT_TRUE(speed.ok()) << speed.status();
  EXPECT_GT(speed->in.rate(), 0);
  EXPECT_GT(speed->out.rate(), 0);
  EXPECT_GT(speed->mixed.rate(), 0);
  EXPECT_LE(tier.Stats().bytes_out, how.most_written);
  EXPECT_EQ(tier.slots_taken(), 0);
  how.most_written = kGranule * 7;
  EXPECT_EQ(MeasureLink(tier, absl::MakeSpan(frames[0], 4 * kGranule.count()), how).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MeasureLinkTest, AFailingTierIsAnErrorAndNothingStaysInFlight) {
  FailingTier tier(std::make_unique<HeldTier>(kGranule, 8));
  tier.FailEvery(Direction::kIn, 3, EIO);
  const Frames frames(4, kGranule);
  const absl::StatusOr<LinkSpeed> speed = MeasureLink(tier, absl::MakeSpan(frames[0], 4 * kGranule.count()));
  EXPECT_EQ(speed.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(speed.status().message().find("EIO"), absl::string_view::npos);
  EXPECT_EQ(tier.Stats().in_flight, 0);
  EXPECT_EQ(MeasureLink(tier, {}).status().code(), absl::StatusCode::kInvalidArgument);
  tier.SetFull(true);
  EXPECT_EQ(MeasureLink(tier, absl::MakeSpan(frames[0], 4 * kGranule.count())).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace thermocline::tier

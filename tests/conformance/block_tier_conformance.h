// What every BlockTier must do. Include it in a short file, and instantiate BlockTierConformance with a BlockTierKind
// for each way of making the tier.
#ifndef THERMOCLINE_TESTS_CONFORMANCE_BLOCK_TIER_CONFORMANCE_H_
#define THERMOCLINE_TESTS_CONFORMANCE_BLOCK_TIER_CONFORMANCE_H_

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/tier/block_tier.h"
#include "tests/tier/frames.h"

namespace thermocline::tier {

struct BlockTierKind {
  std::string name;
  // A tier with exactly this capacity.
  std::function<absl::StatusOr<std::unique_ptr<BlockTier>>(Bytes granule, Bytes capacity)> make;
};

class BlockTierConformance : public ::testing::TestWithParam<BlockTierKind> {
 protected:
  static constexpr Bytes kGranule = KiB(64);
  static constexpr int kSlots = 48;

  void SetUp() override {
    absl::StatusOr<std::unique_ptr<BlockTier>> made = GetParam().make(kGranule, kGranule * kSlots);
    ASSERT_TRUE(made.ok()) << made.status();
    tier_ = *std::move(made);
  }

  // Submits one by one, reaping where the queue is full, and waits for all. Returns the error of each tag.
  std::map<uint64_t, int> Move(const std::vector<Transfer>& transfers) {
    std::map<uint64_t, int> errors;
    size_t next = 0;
    while (errors.size() < transfers.size()) {
      next += tier_->Submit(absl::MakeSpan(transfers).subspan(next));
      std::vector<Completion> completions;
      tier_->Reap(&completions, 10'000'000'000);
      if (completions.empty()) {
        ADD_FAILURE() << "no completion in ten seconds";
        break;
      }
      for (const Completion& completion : completions) {
        EXPECT_EQ(errors.count(completion.tag), 0) << "tag " << completion.tag << " came back twice";
        errors[completion.tag] = completion.error;
      }
    }
    return errors;
  }
  int MoveOne(Direction direction, SlotId slot, void* memory) { return Move({{7, direction, slot, memory}})[7]; }

  std::unique_ptr<BlockTier> tier_;
};

TEST_P(BlockTierConformance, SaysWhatItIs) {
  EXPECT_FALSE(tier_->Describe().empty());
  EXPECT_EQ(tier_->granule_bytes(), kGranule);
  EXPECT_EQ(tier_->capacity(), kGranule * kSlots);
  EXPECT_GE(tier_->max_in_flight(), 1);
}

TEST_P(BlockTierConformance, BytesComeBackAsTheyWentOut) {
  const Frames frames(2, kGranule);
  const SlotId slot = tier_->AllocateSlot();
  frames.Fill(0, 1);
  ASSERT_EQ(MoveOne(Direction::kOut, slot, frames[0]), 0);
  EXPECT_TRUE(frames.Holds(0, 1)) << "a transfer out changed its source";
  ASSERT_EQ(MoveOne(Direction::kIn, slot, frames[1]), 0);
  EXPECT_TRUE(frames.Holds(1, 1));
}

TEST_P(BlockTierConformance, SlotsAreDistinctAndAFullTierSaysSo) {
  std::set<uint32_t> slots;
  for (int i = 0; i < kSlots; ++i) {
    const SlotId slot = tier_->AllocateSlot();
    ASSERT_NE(slot, kNoSlot) << "after " << i << " slots";
    EXPECT_TRUE(slots.insert(slot.value()).second) << "slot " << slot.value() << " was given twice";
  }
  EXPECT_EQ(tier_->AllocateSlot(), kNoSlot);
  tier_->FreeSlot(SlotId(*slots.begin()));
  EXPECT_EQ(tier_->AllocateSlot(), SlotId(*slots.begin()));
  EXPECT_EQ(tier_->AllocateSlot(), kNoSlot);
}

TEST_P(BlockTierConformance, EverySlotKeepsItsOwnBytes) {
  const Frames frames(kSlots, kGranule);
  std::vector<Transfer> out, in;
  for (int i = 0; i < kSlots; ++i) {
    frames.Fill(i, 100 + i);
    out.push_back({static_cast<uint64_t>(i), Direction::kOut, tier_->AllocateSlot(), frames[i]});
  }
  for (const auto& [tag, error] : Move(out)) EXPECT_EQ(error, 0) << "slot " << tag;
  for (int i = 0; i < kSlots; ++i) {
    frames.Clear(i);
    in.push_back({static_cast<uint64_t>(i), Direction::kIn, out[i].slot, frames[i]});
  }
  for (const auto& [tag, error] : Move(in)) EXPECT_EQ(error, 0) << "slot " << tag;
  for (int i = 0; i < kSlots; ++i) EXPECT_TRUE(frames.Holds(i, 100 + i)) << "slot " << i;
}

TEST_P(BlockTierConformance, TakesNoMoreThanItsDepthAndTakesMoreOnceReaped) {
  const int depth = tier_->max_in_flight();
  const Frames frames(1, kGranule);
  frames.Fill(0, 3);
  std::vector<SlotId> slots;
  for (int i = 0; i < kSlots; ++i) slots.push_back(tier_->AllocateSlot());
  // A slot each, as far as they go: nobody else moves two at a time into one.
  std::vector<Transfer> transfers;
  for (int i = 0; i < depth + 5; ++i) transfers.push_back({0, Direction::kOut, slots[i % kSlots], frames[0]});
  EXPECT_EQ(tier_->Submit(transfers), depth);
  EXPECT_EQ(tier_->Submit(transfers), 0);
  EXPECT_EQ(tier_->Stats().in_flight, depth);
  std::vector<Completion> completions;
  while (static_cast<int>(completions.size()) < depth) tier_->Reap(&completions, -1);
  EXPECT_EQ(tier_->Stats().in_flight, 0);
  EXPECT_EQ(tier_->Submit(absl::MakeSpan(transfers).first(1)), 1);
  while (static_cast<int>(completions.size()) < depth + 1) tier_->Reap(&completions, -1);
}

TEST_P(BlockTierConformance, ASlotThatIsNotThereIsACompletionWithAnError) {
  const Frames frames(1, kGranule);
  EXPECT_NE(MoveOne(Direction::kIn, SlotId(1'000'000), frames[0]), 0);
  EXPECT_NE(MoveOne(Direction::kOut, kNoSlot, frames[0]), 0);
  EXPECT_NE(tier_->ReadSync(SlotId(1'000'000), frames[0]), 0);
  EXPECT_GE(tier_->Stats().failures, 2);
}

TEST_P(BlockTierConformance, ReadSyncSeesWhatATransferOutCompleted) {
  const Frames frames(2, kGranule);
  const SlotId slot = tier_->AllocateSlot();
  frames.Fill(0, 5);
  ASSERT_EQ(MoveOne(Direction::kOut, slot, frames[0]), 0);
  ASSERT_EQ(tier_->ReadSync(slot, frames[1]), 0);
  EXPECT_TRUE(frames.Holds(1, 5));
}

TEST_P(BlockTierConformance, AForkedChildReadsSlots) {
  const Frames frames(2, kGranule);
  const SlotId slot = tier_->AllocateSlot();
  frames.Fill(0, 6);
  ASSERT_EQ(MoveOne(Direction::kOut, slot, frames[0]), 0);
  const pid_t child = fork();
  if (child == 0) _exit(tier_->ReadSync(slot, frames[1]) == 0 && frames.Holds(1, 6) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  // And the parent's queue is as it was.
  ASSERT_EQ(MoveOne(Direction::kIn, slot, frames[1]), 0);
  EXPECT_TRUE(frames.Holds(1, 6));
}

TEST_P(BlockTierConformance, AWakeUpBeforeReapIsKept) {
  std::vector<Completion> completions;
  tier_->Reap(&completions, 0);
  tier_->Wake();
  tier_->Reap(&completions, -1);  // would wait for ever
  EXPECT_TRUE(completions.empty());
}

TEST_P(BlockTierConformance, AWakeUpFromAnotherThreadEndsTheWait) {
  std::vector<Completion> completions;
  for (int round = 0; round < 3; ++round) {
    std::thread other([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      tier_->Wake();
    });
    tier_->Reap(&completions, -1);
    other.join();
  }
  EXPECT_TRUE(completions.empty());
}

inline BlockTier* g_tier_to_wake = nullptr;
TEST_P(BlockTierConformance, AWakeUpFromASignalHandlerEndsTheWait) {
  g_tier_to_wake = tier_.get();
  struct sigaction action = {}, before;
  action.sa_handler = [](int) { g_tier_to_wake->Wake(); };
  sigaction(SIGUSR2, &action, &before);
  const pthread_t self = pthread_self();
  std::thread other([self] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pthread_kill(self, SIGUSR2);
  });
  std::vector<Completion> completions;
  tier_->Reap(&completions, -1);
  other.join();
  sigaction(SIGUSR2, &before, nullptr);
  EXPECT_TRUE(completions.empty());
}

TEST_P(BlockTierConformance, WithNothingToDoItWaitsAsLongAsItIsTold) {
  std::vector<Completion> completions;
  const int64_t start = MonotonicClock().NowNanos();
  tier_->Reap(&completions, 20'000'000);
  EXPECT_GE(MonotonicClock().NowNanos() - start, 19'000'000);
  EXPECT_TRUE(completions.empty());
}

TEST_P(BlockTierConformance, TheMoverMayBeAnotherThreadLater) {
  const Frames frames(2, kGranule);
  const SlotId slot = tier_->AllocateSlot();
  frames.Fill(0, 8);
  std::thread first([&] { EXPECT_EQ(MoveOne(Direction::kOut, slot, frames[0]), 0); });
  first.join();
  std::thread second([&] { EXPECT_EQ(MoveOne(Direction::kIn, slot, frames[1]), 0); });
  second.join();
  EXPECT_TRUE(frames.Holds(1, 8));
  tier_->Wake();
  std::vector<Completion> completions;
  tier_->Reap(&completions, -1);
}

TEST_P(BlockTierConformance, StatisticsAddUp) {
  const Frames frames(1, kGranule);
  frames.Fill(0, 9);
  const SlotId slot = tier_->AllocateSlot();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(MoveOne(Direction::kOut, slot, frames[0]), 0);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(MoveOne(Direction::kIn, slot, frames[0]), 0);
  const BlockTierStats stats = tier_->Stats();
  EXPECT_EQ(stats.bytes_out, kGranule * 3);
  EXPECT_EQ(stats.bytes_in, kGranule * 2);
  EXPECT_EQ(stats.failures, 0);
  EXPECT_EQ(stats.in_flight, 0);
  EXPECT_EQ(stats.cached, Bytes(0)) << "the page cache is fast memory";
}

TEST_P(BlockTierConformance, AllocatingFromManyThreadsGivesEachSlotOnce) {
  std::vector<std::vector<SlotId>> taken(4);
  std::vector<std::thread> threads;
  for (auto& mine : taken) {
    threads.emplace_back([this, &mine] {
      for (int i = 0; i < 100; ++i) {
        const SlotId slot = tier_->AllocateSlot();
        if (slot == kNoSlot) continue;
        mine.push_back(slot);
        if (i % 3 == 0) {
          tier_->FreeSlot(mine.back());
          mine.pop_back();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint32_t> all;
  size_t count = 0;
  for (const auto& mine : taken) {
    count += mine.size();
    for (SlotId slot : mine) all.insert(slot.value());
  }
  EXPECT_EQ(all.size(), count);
  EXPECT_EQ(static_cast<int>(count), kSlots);
}

// 4096 transfers at random over all slots, many in flight, never two on one slot or frame.
TEST_P(BlockTierConformance, NoByteIsLostInThousandsOfRandomTransfers) {
  constexpr int kTransfers = 4096;
  const int depth = std::min(tier_->max_in_flight(), kSlots / 2);
  const Frames frames(depth, kGranule);
  std::mt19937 random(20210621);
  std::vector<SlotId> slots(kSlots);
  for (SlotId& slot : slots) slot = tier_->AllocateSlot();
  std::vector<uint64_t> seed(kSlots, 0);  // 0: never written
  std::vector<bool> busy(kSlots, false);
  struct Flight {
    int slot = 0;
    Direction direction = Direction::kOut;
  };
  std::vector<Flight> flights(depth);
  std::vector<int> idle;
  for (int i = 0; i < depth; ++i) idle.push_back(i);
  int started = 0, done = 0;
  while (done < kTransfers) {
    while (started < kTransfers && !idle.empty()) {
      const int slot = static_cast<int>(random() % kSlots);
      if (busy[slot]) continue;
      const int frame = idle.back();
      idle.pop_back();
      const Direction direction = seed[slot] == 0 || random() % 2 == 0 ? Direction::kOut : Direction::kIn;
      if (direction == Direction::kOut) {
        seed[slot] = 1 + random();
        frames.Fill(frame, seed[slot]);
      }
      flights[frame] = {slot, direction};
      busy[slot] = true;
      ++started;
      ASSERT_EQ(tier_->Submit({{static_cast<uint64_t>(frame), direction, slots[slot], frames[frame]}}), 1);
    }
    std::vector<Completion> completions;
    tier_->Reap(&completions, 10'000'000'000);
    ASSERT_FALSE(completions.empty()) << "no completion in ten seconds, " << done << " done";
    for (const Completion& completion : completions) {
      ASSERT_EQ(completion.error, 0);
      const int frame = static_cast<int>(completion.tag);
      const Flight& flight = flights[frame];
      if (flight.direction == Direction::kIn) {
        ASSERT_TRUE(frames.Holds(frame, seed[flight.slot])) << "slot " << flight.slot;
      }
      busy[flight.slot] = false;
      idle.push_back(frame);
      ++done;
    }
  }
}

inline std::string BlockTierKindName(const ::testing::TestParamInfo<BlockTierKind>& info) { return info.param.name; }

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TESTS_CONFORMANCE_BLOCK_TIER_CONFORMANCE_H_

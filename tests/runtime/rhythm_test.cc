// The rhythm of programs made up here, with the noise that real ones have.
#include "src/runtime/rhythm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "src/runtime/judge.h"
#include "src/runtime/rhythm_follower.h"

namespace thermocline::runtime {
namespace {

// A program as a sequence of events; sizes stand for themselves.
class Program {
 public:
  void Allocate(int64_t size) { Add(Bytes(size << 12)); }
  void Free(int64_t size) { Add(Bytes(-(size << 12))); }
  // A step as training does it: `blocks` equal blocks forward, whose activations are freed on the way back.
  void Train(int blocks, int64_t size = 64) {
    Allocate(size * 7);
    for (int i = 0; i < blocks; ++i) {
      Allocate(size * 3);
      Allocate(size);
      Allocate(size + 1);
      Free(size * 3);
    }
    for (int i = 0; i < blocks; ++i) {
      Allocate(size * 2);
      Free(size + 1);
      Free(size);
      Free(size * 2);
    }
    Free(size * 7);
  }
  // A forward pass alone: each block frees what it allocates.
  void Infer(int blocks, int64_t size = 64) {
    Allocate(size * 5);
    for (int i = 0; i < blocks; ++i) {
      Allocate(size * 3);
      Free(size * 3);
    }
    Allocate(size * 9);
    Free(size * 9);
    Free(size * 5);
  }
  const std::vector<RhythmEvent>& events() const { return events_; }

 private:
  void Add(Bytes change) { events_.push_back({RhythmKey(change, nullptr), change, now_ += 50'000}); }
  std::vector<RhythmEvent> events_;
  int64_t now_ = 0;
};

constexpr int kBlocks = 12;
constexpr int kEventsOfAStep = 2 + 8 * kBlocks;

TEST(Rhythm, IsTheStepNotItsEqualBlocks) {
  Program program;
  for (int step = 0; step < 2; ++step) {
    EXPECT_FALSE(FindRhythm(program.events()).has_value());
    program.Train(kBlocks);
  }
  const auto rhythm = FindRhythm(program.events());
  ASSERT_TRUE(rhythm.has_value());
  EXPECT_EQ(rhythm->beats.size(), kEventsOfAStep);
  EXPECT_EQ(rhythm->allocations, 1 + 4 * kBlocks);
  EXPECT_EQ(rhythm->next, 0);
  EXPECT_TRUE(rhythm->beats[0].allocates);
  EXPECT_EQ(rhythm->beats[0].key, RhythmKey(Bytes(64 * 7 << 12), nullptr)) << "a step begins where least is alive";
}

TEST(Rhythm, IsNotSeenInTheMiddleOfTheFirstStep) {
  Program program;
  program.Train(200);
  const std::vector<RhythmEvent>& events = program.events();
  for (size_t count = 0; count < events.size(); count += 37) {
    EXPECT_FALSE(FindRhythm(absl::MakeSpan(events).subspan(0, count)).has_value()) << count;
  }
}

TEST(Rhythm, IsFoundAfterANoisyStart) {
  std::mt19937 random(1);
  Program program;
  for (int i = 0; i < 500; ++i) program.Allocate(1 + random() % 5000);
  for (int step = 0; step < 3; ++step) program.Train(kBlocks);
  const auto rhythm = FindRhythm(program.events());
  ASSERT_TRUE(rhythm.has_value());
  EXPECT_EQ(rhythm->beats.size(), kEventsOfAStep);
}

TEST(Rhythm, NoneIsSeenInNoise) {
  for (int seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    Program program;
    std::vector<int64_t> live;
    for (int i = 0; i < 3000; ++i) {
      if (live.empty() || random() % 2 == 0) {
        live.push_back(1 + random() % 40);
        program.Allocate(live.back());
      } else {
        std::swap(live[random() % live.size()], live.back());
        program.Free(live.back());
        live.pop_back();
      }
    }
    EXPECT_FALSE(FindRhythm(program.events()).has_value()) << seed;
  }
}

// Each step has up to three allocations more, of sizes that come again or never.
TEST(Rhythm, IsFoundThroughNoise) {
  for (int seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    Program program;
    for (int step = 0; step < 5; ++step) {
      if (random() % 3 == 0) {
        const int64_t odd = 10000 + static_cast<int64_t>(random() % (seed % 2 == 0 ? 2 : 100000));
        program.Allocate(odd);
        program.Free(odd);
      }
      program.Train(4 * kBlocks);
    }
    const auto rhythm = FindRhythm(program.events());
    ASSERT_TRUE(rhythm.has_value()) << seed;
    // Noise may make two steps in a row more alike than one and the next.
    const int64_t step = 2 + 8 * 4 * kBlocks;
    EXPECT_NEAR(std::ssize(rhythm->beats), std::ssize(rhythm->beats) > 3 * step / 2 ? 2 * step : step, 4) << seed;
  }
}

TEST(Rhythm, GrowingMemoryIsNone) {
  Program program;
  for (int i = 0; i < 400; ++i) program.Allocate(64 + i % 3);
  EXPECT_FALSE(FindRhythm(program.events()).has_value());
}

// ---------------------------------------------------------------------------------------------------------------------

class Follower : public ::testing::Test {
 protected:
  // Plays what the program has done since the last call.
  void Play(const Program& program, const void* thread = nullptr) {
    for (; played_ < program.events().size(); ++played_) Hear(program.events()[played_], thread);
  }
  void Hear(const RhythmEvent& event, const void* thread) {
    const Cue cue = follower_.OnEvent(event, thread != nullptr ? thread : this, true);
    if (cue.action == Cue::Action::kBegin) {
      ++begun_;
      last_ = cue.rhythm;
    }
    if (cue.action == Cue::Action::kLost) ++lost_;
    if (event.allocates() && cue.ordinal >= 0) ++known_;
  }

  RhythmFollower follower_;
  size_t played_ = 0;
  int begun_ = 0;
  int lost_ = 0;
  int64_t known_ = 0;
  int32_t last_ = -1;
};

TEST_F(Follower, BeginsAStepAtEachRepeat) {
  Program program;
  for (int step = 0; step < 3; ++step) program.Train(kBlocks);
  Play(program);
  begun_ = 0;
  for (int step = 0; step < 10; ++step) program.Train(kBlocks);
  Play(program);
  EXPECT_GE(begun_, 9);
  EXPECT_EQ(known_ % (1 + 4 * kBlocks), 0) << "every allocation of a step that was followed is known";
  EXPECT_EQ(follower_.missed(), 0);
  EXPECT_EQ(lost_, 0);
}

TEST_F(Follower, TakesAKnownRhythmUpAgainAfterAnotherOne) {
  Program program;
  for (int step = 0; step < 6; ++step) program.Train(kBlocks);
  Play(program);
  const int32_t training = last_;
  ASSERT_GE(training, 0);
  for (int step = 0; step < 30; ++step) program.Infer(kBlocks);
  Play(program);
  EXPECT_GE(lost_, 1);
  EXPECT_NE(last_, training);
  begun_ = 0;
  for (int step = 0; step < 4; ++step) program.Train(kBlocks);
  Play(program);
  EXPECT_EQ(last_, training);
  EXPECT_GE(begun_, 2) << "no second search: one step by demand is enough";
}

TEST_F(Follower, ASmallerLastBatchCostsFewSteps) {
  Program program;
  for (int epoch = 0; epoch < 4; ++epoch) {
    for (int step = 0; step < 20; ++step) program.Train(kBlocks);
    program.Train(kBlocks, 40);
  }
  Play(program);
  EXPECT_GE(begun_, 4 * 20 - 3 * 4);
}

TEST_F(Follower, AStrayAllocationIsNoLoss) {
  Program program;
  for (int step = 0; step < 30; ++step) {
    program.Train(kBlocks);
    if (step > 5 && step % 3 == 0) program.Allocate(12345 + step);
  }
  Play(program);
  EXPECT_EQ(lost_, 0);
  EXPECT_GE(begun_, 25);
}

TEST_F(Follower, BlocksThatRepeatWithinAForwardPassGiveWayToTheWholePass) {
  Program program;
  for (int step = 0; step < 40; ++step) program.Infer(100);
  Play(program);
  EXPECT_GE(begun_, 20);
  EXPECT_EQ(follower_.rhythm().allocations, 102);
}

TEST_F(Follower, OtherThreadsDoNotDisturb) {
  Program program, other;
  std::mt19937 random(3);
  const int other_thread = 0;
  for (int step = 0; step < 10; ++step) {
    program.Train(kBlocks);
    for (; played_ < program.events().size(); ++played_) {
      Hear(program.events()[played_], this);
      if (random() % 4 == 0) {
        const Bytes size(4096 * (1 + random() % 100));
        Hear({RhythmKey(size, nullptr), size, 0}, &other_thread);
      }
    }
  }
  EXPECT_GE(begun_, 6);
  EXPECT_EQ(lost_, 0);
}

TEST_F(Follower, AStepThatWandersFromThreadToThreadIsFollowed) {
  Program program;
  for (int step = 0; step < 12; ++step) program.Train(kBlocks);
  const int forward = 0, backward = 0;
  for (size_t i = 0; i < program.events().size(); ++i) {
    Hear(program.events()[i], i % kEventsOfAStep < 1 + 4 * kBlocks ? &forward : &backward);
  }
  EXPECT_GE(begun_, 7);
  EXPECT_EQ(lost_, 0);
}

TEST_F(Follower, ManyRhythmsAreForgottenInOrder) {
  Program program;
  for (int size = 10; size < 30; ++size) {
    for (int step = 0; step < 5; ++step) program.Train(kBlocks, size * 11);
  }
  Play(program);
  EXPECT_GE(begun_, 20);
}

// ---------------------------------------------------------------------------------------------------------------------

// So many steps of so many seconds; how many of them made it change its way.
int Changes(Judge& judge, int steps, double seconds) {
  int changes = 0;
  for (int i = 0; i < steps; ++i) changes += judge.OnStep(seconds) ? 1 : 0;
  return changes;
}

TEST(JudgeTest, StepsByPlanThatAreSlowerThanByDemandAreGivenUp) {
  Judge judge(1.0);
  EXPECT_EQ(Changes(judge, Judge::kSettling + Judge::kInARow - 1, 1.5), 0);
  EXPECT_TRUE(judge.OnStep(1.5));
  EXPECT_EQ(judge.way(), Way::kDemand);
  EXPECT_DOUBLE_EQ(judge.other_seconds(), 1.5);
}

TEST(JudgeTest, ALittleSlowerOrSlowNowAndThenIsKept) {
  Judge judge(1.0);
  EXPECT_EQ(Changes(judge, 100, 1.09), 0);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Changes(judge, Judge::kInARow - 1, 3), 0);
    EXPECT_EQ(Changes(judge, 1, 1), 0);
  }
  Judge unknown;
  EXPECT_EQ(Changes(unknown, 100, 99), 0) << "nothing to compare with";
}

TEST(JudgeTest, GoesBackToThePlanWhereDemandIsSlowerAfterAll) {
  Judge judge(1.0);  // a lucky step
  EXPECT_EQ(Changes(judge, 6, 1.5), 1);
  EXPECT_EQ(Changes(judge, 6, 2.0), 1);
  EXPECT_EQ(judge.way(), Way::kPlanned);
  EXPECT_EQ(Changes(judge, 100, 1.5), 0) << "now it is known better";
}

TEST(JudgeTest, ThePlanHasAnotherTryLaterAndLessAndLessOften) {
  Judge judge(1.0);
  int64_t wait = Judge::kFirstRetry;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Changes(judge, Judge::kSettling + Judge::kInARow, 1.5), 1);
    EXPECT_EQ(judge.way(), Way::kDemand);
    EXPECT_EQ(Changes(judge, static_cast<int>(Judge::kSettling + wait) - 1, 1.0), 0) << i;
    EXPECT_TRUE(judge.OnStep(1.0)) << i;
    EXPECT_EQ(judge.way(), Way::kPlanned);
    wait = std::min(2 * wait, Judge::kLongestRetry);
  }
  EXPECT_EQ(wait, Judge::kLongestRetry);
}

}  // namespace
}  // namespace thermocline::runtime

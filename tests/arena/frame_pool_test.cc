#include "src/arena/frame_pool.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/os/smaps.h"

namespace thermocline::arena {
namespace {

constexpr Bytes kGranule = KiB(64);

// The real calls, counted; MapFresh can be told to fail.
class CountingMemory final : public os::Memory {
 public:
  absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) override { return real_.Reserve(size, alignment); }
  int MapFresh(char* at, Bytes size, bool huge) override {
    if (fail) return ENOMEM;
    ++fresh;
    return real_.MapFresh(at, size, huge);
  }
  int Attach(char* home, char* at, Bytes size, os::Protection p) override { return real_.Attach(home, at, size, p); }
  int Detach(char* at, char* home, Bytes size) override { return real_.Detach(at, home, size); }
  int Protect(char* at, Bytes size, os::Protection p) override { return real_.Protect(at, size, p); }
  int Discard(char* at, Bytes size) override {
    ++discarded;
    return real_.Discard(at, size);
  }
  void Collapse(char* at, Bytes size) override { real_.Collapse(at, size); }
  int Unmap(char* at, Bytes size) override { return real_.Unmap(at, size); }

  bool fail = false;
  int fresh = 0, discarded = 0;

 private:
  os::Memory& real_ = os::RealMemory();
};

TEST(FramePoolTest, FramesAreReusedWithTheirPages) {
  CountingMemory memory;
  auto pool = *FramePool::Create(memory, kGranule, 4, 4);
  for (int round = 0; round < 10; ++round) {
    std::vector<FrameId> frames;
    for (int i = 0; i < 4; ++i) frames.push_back(pool->Take());
    EXPECT_EQ(pool->Take(), kNoFrame);
    for (FrameId frame : frames) {
      std::memset(pool->Home(frame), round, kGranule.count());
      pool->Give(frame);
    }
  }
  EXPECT_EQ(memory.fresh, 4);
  EXPECT_EQ(memory.discarded, 0) << "a frame once zeroed never goes back to the kernel within the limit";
}

TEST(FramePoolTest, WhatIsOverALoweredLimitGoesBackToTheSystem) {
  CountingMemory memory;
  auto pool = *FramePool::Create(memory, kGranule, 8, 16);
  std::vector<FrameId> frames;
  for (int i = 0; i < 8; ++i) frames.push_back(pool->Take());
  pool->Give(frames.back());
  frames.pop_back();
  pool->SetLimit(3);
  EXPECT_EQ(memory.discarded, 1);
  EXPECT_EQ(pool->Take(), kNoFrame);
  for (FrameId frame : frames) pool->Give(frame);
  EXPECT_EQ(memory.discarded, 5) << "all but three";
  pool->SetLimit(100);
  EXPECT_EQ(pool->limit(), 16);
  for (int i = 0; i < 16; ++i) EXPECT_NE(pool->Take(), kNoFrame);
  EXPECT_EQ(pool->Take(), kNoFrame);
  EXPECT_EQ(memory.fresh, 16);
}

TEST(FramePoolTest, LargeFramesAreHugePagesAndStaySoWhereTheyMove) {
  std::string enabled;
  std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), enabled);
  if (enabled.empty() || enabled.find("[never]") != std::string::npos) {
    GTEST_SKIP() << "needs huge pages: /sys/kernel/mm/transparent_hugepage/enabled says '" << enabled << "'";
  }
  constexpr Bytes kLarge = MiB(2);
  constexpr int kCount = 4;  // one alone might find no such page free
  CountingMemory memory;
  auto pool = *FramePool::Create(memory, kLarge, kCount, kCount);
  char* const elsewhere = *memory.Reserve(kLarge * kCount, kLarge);
  for (int i = 0; i < kCount; ++i) {
    char* const home = pool->Home(pool->Take());
    std::memset(home, 1, kLarge.count());
  }
  const Bytes huge = os::InSmaps("AnonHugePages", pool->Home(FrameId(0)), kLarge * kCount);
  EXPECT_GT(huge, Bytes(0));
  for (int i = 0; i < kCount; ++i) {
    const Bytes offset = kLarge * i;
    char* const home = pool->Home(FrameId(0)) + offset.count();
    ASSERT_EQ(memory.Attach(home, elsewhere + offset.count(), kLarge, os::Protection::kReadWrite), 0);
  }
  EXPECT_EQ(os::InSmaps("AnonHugePages", elsewhere, kLarge * kCount), huge);
  memory.Unmap(elsewhere, kLarge * kCount);
}

TEST(FramePoolTest, FastMemoryOutsideTakesFramesAtOnceAndGivesThemBackOneByOne) {
  CountingMemory memory;
  const auto pool = *FramePool::Create(memory, kGranule, 10, 20);
  for (int i = 0; i < 6; ++i) pool->Take();
  pool->SetOutside(kGranule * 2 + Bytes(1), 4);
  EXPECT_EQ(pool->limit(), 7);
  EXPECT_EQ(pool->budget(), 10);
  EXPECT_EQ(pool->peak_bytes(), kGranule * 8 + Bytes(1));
  pool->SetOutside(Bytes(0), 4);
  EXPECT_EQ(pool->limit(), 8);
  pool->SetOutside(Bytes(0), 4);
  EXPECT_EQ(pool->limit(), 9);
  pool->SetOutside(kGranule * 50, 4);
  EXPECT_EQ(pool->limit(), 4) << "a touch needs so many";
  pool->SetLimit(3);
  EXPECT_EQ(pool->limit(), 3) << "and no more than the budget has";
}

TEST(FramePoolTest, AFrameThatCannotBeMappedIsNotCounted) {
  CountingMemory memory;
  auto pool = *FramePool::Create(memory, kGranule, 4, 4);
  memory.fail = true;
  EXPECT_EQ(pool->Take(), kNoFrame);
  EXPECT_EQ(pool->in_use(), 0);
  memory.fail = false;
  for (int i = 0; i < 4; ++i) EXPECT_NE(pool->Take(), kNoFrame);
}

TEST(FramePoolTest, NeverHandsOutMoreThanTheLimitNorOneFrameTwice) {
  CountingMemory memory;
  auto pool = *FramePool::Create(memory, kGranule, 10, 40);
  std::mt19937_64 random(5);
  std::set<uint32_t> taken;
  for (int i = 0; i < 20000; ++i) {
    switch (random() % 16) {
      case 0:
        pool->SetLimit(1 + static_cast<int64_t>(random() % 50));
        break;
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
      case 6:
      case 7:
      case 8: {
        const int64_t before = pool->in_use();
        const FrameId frame = pool->Take();
        ASSERT_EQ(frame == kNoFrame, before >= pool->limit());
        if (frame != kNoFrame) {
          ASSERT_TRUE(taken.insert(frame.value()).second);
        }
        break;
      }
      default:
        if (taken.empty()) break;
        const auto victim = std::next(taken.begin(), random() % taken.size());
        pool->Give(FrameId(*victim));
        taken.erase(victim);
    }
    ASSERT_EQ(pool->in_use(), std::ssize(taken));
  }
}

}  // namespace
}  // namespace thermocline::arena

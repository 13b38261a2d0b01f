// The allocator's contract, and what a profiled step sees of touches, on a small arena whose mover runs.
#include "src/arena/allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "src/migrate/mover.h"
#include "tests/tier/held_tier.h"

namespace thermocline::arena {
namespace {

constexpr Bytes kGranule = KiB(64);
constexpr int kFrames = 16;

class AllocatorTest : public ::testing::Test {
 protected:
  AllocatorTest() : tier_(kGranule, 512) {
    ResidencyOptions options;
    options.granule_bytes = kGranule;
    options.address_space = MiB(256);
    options.frames = kFrames;
    options.most_frames = 64;
    residency_ = *Residency::Create(options, os::RealMemory(), tier_, MonotonicClock());
    allocator_ = *Allocator::Create(*residency_);
    mover_ = std::make_unique<migrate::Mover>(*residency_, tier_, MonotonicClock(), migrate::MoverOptions{});
    mover_->Start();
  }
  ~AllocatorTest() override { mover_->Stop(); }

  char* New(Bytes bytes, int64_t alignment = 64) {
    return static_cast<char*>(allocator_->Allocate(bytes, Bytes(alignment), false, nullptr));
  }

  tier::HeldTier tier_;
  std::unique_ptr<Residency> residency_;
  std::unique_ptr<Allocator> allocator_;
  std::unique_ptr<migrate::Mover> mover_;
};

TEST_F(AllocatorTest, EverySizeIsAlignedUsableAndFreedOnce) {
  for (int64_t bytes : {0, 1, 64, 65, 4095, 32767, 32768, 65536, 65537, 300000}) {
    for (int64_t alignment = 64; alignment <= (1 << 20); alignment *= 4) {
      char* const pointer = New(Bytes(bytes), alignment);
      ASSERT_NE(pointer, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(pointer) % alignment, 0u) << bytes;
      EXPECT_GE(allocator_->UsableBytes(pointer).count(), bytes);
      EXPECT_TRUE(allocator_->Free(pointer, nullptr));
      EXPECT_FALSE(allocator_->Free(pointer, nullptr));
    }
  }
  EXPECT_EQ(allocator_->Stats().live, Bytes(0));
}

TEST_F(AllocatorTest, BookkeepingCountsTheRegistryTheTouchedPageIndexAndTheTouchedGranuleTable) {
  constexpr int kTensors = 1000;
  constexpr int64_t kIndexedByAPage = 4096 / sizeof(uint32_t) * 4096;
  for (int i = 0; i < kTensors; ++i) ASSERT_NE(New(KiB(32)), nullptr);
  const Bytes spread = KiB(32) * kTensors;
  // What its free needs is kept from the start.
  constexpr int64_t kForItsFree = sizeof(uint32_t) + 2 * sizeof(std::pair<int64_t, int64_t>);
  const int64_t least = kTensors * (static_cast<int64_t>(sizeof(Allocation)) + kForItsFree) +
                        spread.count() / kIndexedByAPage * 4096 +
                        spread / kGranule * static_cast<int64_t>(sizeof(Granule));
  const int64_t counted = (allocator_->Stats().metadata + residency_->MetadataBytes()).count();
  EXPECT_GE(counted, least);
  EXPECT_LE(counted, least + 6 * 4096) << "what was not touched takes no memory";
}

TEST_F(AllocatorTest, WhatLivesIsDistinctKeepsItsBytesAndStaysWithinTheBudget) {
  std::mt19937_64 random(3);
  std::map<char*, std::pair<int64_t, char>> live;
  for (int i = 0; i < 3000; ++i) {
    if (random() % 5 < 3 && live.size() < 60) {
      const int64_t bytes = 1 + static_cast<int64_t>(random() % (random() % 3 == 0 ? 200'000 : 5'000));
      char* const pointer = New(Bytes(bytes));
      ASSERT_NE(pointer, nullptr);
      const auto after = live.lower_bound(pointer);
      ASSERT_TRUE(after == live.end() || after->first >= pointer + bytes);
      ASSERT_TRUE(after == live.begin() || std::prev(after)->first + std::prev(after)->second.first <= pointer);
      const char fill = static_cast<char>(random());
      std::memset(pointer, fill, bytes);
      live[pointer] = {bytes, fill};
    } else if (!live.empty()) {
      const auto victim = std::next(live.begin(), random() % live.size());
      const auto [bytes, fill] = victim->second;
      ASSERT_TRUE(std::all_of(victim->first, victim->first + bytes, [f = fill](char c) { return c == f; }));
      ASSERT_TRUE(allocator_->Free(victim->first, nullptr));
      live.erase(victim);
    }
    ASSERT_LE(residency_->Stats().frames_in_use, kFrames);
  }
  EXPECT_GT(allocator_->Stats().peak_live, kGranule * kFrames) << "nothing had to move";
  for (const auto& [pointer, unused] : live) EXPECT_TRUE(allocator_->Free(pointer, nullptr));
  EXPECT_EQ(allocator_->Stats().live, Bytes(0));
  EXPECT_LE(residency_->Stats().peak_frames, kFrames);
}

TEST_F(AllocatorTest, APlannedPlaceIsTakenByOneAtATime) {
  const int64_t base = allocator_->planned_begin();
  uint64_t serial = 0;
  char* const first = static_cast<char*>(allocator_->AllocateAt(base + 8192, KiB(40), &serial));
  ASSERT_EQ(first, residency_->base() + base + 8192);
  EXPECT_NE(serial, 0u);
  for (int64_t offset : {0, 4096, 8192, 8192 + 4096, 8192 + 36 * 1024}) {
    EXPECT_EQ(allocator_->AllocateAt(base + offset, KiB(40), nullptr), nullptr) << offset;
  }
  void* const behind = allocator_->AllocateAt(base + 8192 + 40 * 1024, KiB(40), nullptr);
  EXPECT_NE(behind, nullptr);
  EXPECT_EQ(allocator_->AllocateAt(base - 4096, KiB(40), nullptr), nullptr) << "outside the planned area";
  EXPECT_EQ(allocator_->AllocateAt(base + (1 << 20) + 64, KiB(40), nullptr), nullptr) << "within a page";
  EXPECT_EQ(allocator_->AllocateAt(allocator_->planned_end() - 4096, KiB(40), nullptr), nullptr);
  EXPECT_TRUE(allocator_->Free(first, nullptr));
  EXPECT_NE(allocator_->AllocateAt(base, KiB(48), nullptr), nullptr) << "free again";
}

TEST_F(AllocatorTest, WhatIsAliveIsListedByAddress) {
  char* const a = New(KiB(40));
  New(Bytes(100));
  char* const b = static_cast<char*>(allocator_->AllocateAt(allocator_->planned_begin(), KiB(80), nullptr));
  const std::vector<Allocation> live = allocator_->LiveLarge();
  ASSERT_EQ(live.size(), 2u);
  EXPECT_EQ(live[0].address, a);
  EXPECT_EQ(live[1].address, b);
  EXPECT_TRUE(live[1].planned);
  Allocation found;
  EXPECT_TRUE(allocator_->Find(b + 70'000, &found));
  EXPECT_EQ(found.address, b);
  EXPECT_FALSE(allocator_->Find(a + 40'960, &found));
}

TEST_F(AllocatorTest, WhileAStepIsProfiledSmallObjectsHavePagesOfTheirOwn) {
  auto* const a = static_cast<char*>(allocator_->Allocate(Bytes(10), Bytes(64), true, nullptr));
  auto* const b = static_cast<char*>(allocator_->Allocate(Bytes(10), Bytes(64), true, nullptr));
  EXPECT_NE(reinterpret_cast<uintptr_t>(a) / 4096, reinterpret_cast<uintptr_t>(b) / 4096);
}

// ---------------------------------------------------------------------------------------------------------------------
// Profiling.

// Opens 4 KiB at a time and keeps what it is told.
class PageCounter final : public AccessRecorder {
 public:
  Window OnTouch(char* address, os::FaultAccess access) override {
    ++(access == os::FaultAccess::kWrite ? writes : reads);
    char* const page = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(address) & ~uintptr_t{4095});
    return {page, page + 4096};
  }
  int reads = 0, writes = 0;
};

TEST_F(AllocatorTest, EachPageIsToldOncePerKindAndLayer) {
  char* const tensor = New(KiB(128));
  std::memset(tensor, 1, KiB(128).count());
  volatile char* const touched = tensor;
  PageCounter counter;
  residency_->Arm(&counter);
  for (int layer = 1; layer <= 3; ++layer) {
    int sum = 0;
    for (int repeat = 0; repeat < 3; ++repeat) {
      for (int page = 0; page < 10; ++page) sum += touched[page * 4096 + repeat];
      for (int page = 20; page < 27; ++page) touched[page * 4096 + repeat] = 1;
    }
    EXPECT_EQ(sum, 30);
    EXPECT_EQ(counter.reads, 10 * layer);
    EXPECT_EQ(counter.writes, 7 * layer);
    residency_->CloseOpened();
  }
  touched[0] = touched[0] + 1;  // read, then written: both are told
  EXPECT_EQ(counter.reads, 31);
  EXPECT_EQ(counter.writes, 22);
  residency_->Disarm();
  touched[4096 * 30] = 1;
  EXPECT_EQ(counter.writes, 22) << "after the profile";
  EXPECT_EQ(tensor[0], 2);
}

TEST_F(AllocatorTest, WhatIsWrittenInAProfiledStepSurvivesItsEvictions) {
  std::vector<char*> tensors;
  PageCounter counter;
  residency_->Arm(&counter);
  for (int i = 0; i < 3 * kFrames; ++i) {
    tensors.push_back(New(kGranule));
    std::memset(tensors[i], i, kGranule.count());
    if (i % 5 == 0) residency_->CloseOpened();
  }
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3 * kFrames; ++i) {
      ASSERT_EQ(tensors[i][i * 100], static_cast<char>(i)) << i;
      tensors[i][i * 100 + 8192] = static_cast<char>(i);
      residency_->CloseOpened();
    }
  }
  residency_->Disarm();
  for (int i = 0; i < 3 * kFrames; ++i) {
    EXPECT_TRUE(
        std::all_of(tensors[i], tensors[i] + kGranule.count(), [=](char c) { return c == static_cast<char>(i); }));
  }
  EXPECT_LE(residency_->Stats().peak_frames, kFrames);
}

}  // namespace
}  // namespace thermocline::arena

// What every way of getting memory from Thermocline must do. Include it in a short file, wrap the way in an
// AllocatorUnderTest, and instantiate with a maker of it each suite that applies:
//
//   AllocatorConformance             all of them: aligned, distinct, usable in full, zero and impossible sizes
//   ThreadedAllocatorConformance     those that may be called from any thread
//   ReallocatingAllocatorConformance those that can resize
//   RefusingAllocatorConformance     those that refuse what they have freed before, and say so
//   ForeignFreeConformance           those that refuse what they never gave out, and say so
//   BudgetedAllocatorConformance     those that have a fast budget
//
// A suite that doesn't apply is not instantiated, instead of being skipped.
#ifndef THERMOCLINE_TESTS_CONFORMANCE_ALLOCATOR_CONFORMANCE_H_
#define THERMOCLINE_TESTS_CONFORMANCE_ALLOCATOR_CONFORMANCE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace thermocline {

class AllocatorUnderTest {
 public:
  virtual ~AllocatorUnderTest() = default;

  // nullptr: refused. An interface that throws is wrapped so that it doesn't.
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* pointer, size_t bytes) = 0;
  // What of `bytes` and more is usable; as requested, where the interface can't tell.
  virtual size_t UsableBytes(void* /*pointer*/, size_t bytes) { return bytes; }
  // The sizes that the suite uses lie between these. From `least` on, blocks are aligned to 64 bytes.
  virtual size_t least() const { return 0; }
  virtual size_t largest() const { return 1 << 20; }
  // What may live at a time, at least.
  virtual size_t room() const { return 8 << 20; }

  virtual void* Reallocate(void* /*pointer*/, size_t /*bytes*/) { return nullptr; }
  // Frees what must not be freed; the message with which it was refused, empty when it was not.
  virtual std::string FreeWrongly(void* /*pointer*/) { return ""; }

  virtual size_t budget() const { return 0; }
  virtual size_t peak_fast_bytes() const { return 0; }
};

struct AllocatorKind {
  std::string name;
  std::function<std::unique_ptr<AllocatorUnderTest>()> make;
};

inline std::string AllocatorKindName(const ::testing::TestParamInfo<AllocatorKind>& info) { return info.param.name; }

class AllocatorConformance : public ::testing::TestWithParam<AllocatorKind> {
 protected:
  void SetUp() override {
    under_ = GetParam().make();
    ASSERT_NE(under_, nullptr) << "it could not be made";
  }

  // A block that holds bytes of its own.
  struct Block {
    char* at = nullptr;
    size_t bytes = 0;
    char fill = 0;

    bool Holds() const {
      return std::all_of(at, at + bytes, [this](char c) { return c == fill; });
    }
  };
  Block New(size_t bytes, int fill) {
    auto* const at = static_cast<char*>(under_->Allocate(bytes));
    if (at != nullptr) std::memset(at, fill, bytes);
    return {at, bytes, static_cast<char>(fill)};
  }
  void Drop(const Block& block) { under_->Free(block.at, block.bytes); }

  std::vector<size_t> Sizes() const {
    std::vector<size_t> sizes;
    for (size_t bytes : {1, 2, 63, 64, 65, 100, 4095, 4096, 4097, 32767, 32768, 32769, 65536, 65537, 300001, 1048576}) {
      bytes += under_->least();
      if (bytes <= under_->largest()) sizes.push_back(bytes);
    }
    return sizes;
  }
  size_t AnySize(std::mt19937_64& random) const {
    const size_t most = std::min(under_->largest(), under_->least() + (random() % 4 == 0 ? 200'000 : 5'000));
    return under_->least() + 1 + random() % (most - under_->least());
  }

  std::unique_ptr<AllocatorUnderTest> under_;
};

TEST_P(AllocatorConformance, EveryBlockIsAlignedAndUsableInFull) {
  for (const size_t bytes : Sizes()) {
    const Block block = New(bytes, 0x5a);
    ASSERT_NE(block.at, nullptr) << bytes;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.at) % 64, 0u) << bytes;
    const size_t usable = under_->UsableBytes(block.at, bytes);
    EXPECT_GE(usable, bytes);
    std::memset(block.at, 0x3c, usable);
    Drop(block);
  }
}

TEST_P(AllocatorConformance, WhatLivesIsDistinctAndKeepsItsBytes) {
  std::mt19937_64 random(7);
  std::map<char*, Block> live;
  size_t live_bytes = 0;
  for (int i = 0; i < 4000; ++i) {
    const size_t bytes = AnySize(random);
    if (random() % 5 < 3 && live_bytes + bytes <= under_->room()) {
      const Block block = New(bytes, static_cast<int>(random() % 256));
      ASSERT_NE(block.at, nullptr) << bytes << " beside " << live_bytes;
      const auto after = live.lower_bound(block.at);
      ASSERT_TRUE(after == live.end() || after->first >= block.at + bytes) << "overlaps the next";
      ASSERT_TRUE(after == live.begin() || std::prev(after)->first + std::prev(after)->second.bytes <= block.at)
          << "overlaps the one before";
      live[block.at] = block;
      live_bytes += bytes;
    } else if (!live.empty()) {
      const auto victim = std::next(live.begin(), static_cast<int64_t>(random() % live.size()));
      ASSERT_TRUE(victim->second.Holds());
      Drop(victim->second);
      live_bytes -= victim->second.bytes;
      live.erase(victim);
    }
  }
  for (const auto& [at, block] : live) {
    EXPECT_TRUE(block.Holds());
    Drop(block);
  }
}

TEST_P(AllocatorConformance, WhatIsFreedServesAgain) {
  const size_t bytes = std::min(under_->largest(), under_->room() / 2);
  for (size_t served = 0; served < 16 * under_->room(); served += bytes) {
    const Block block = New(bytes, static_cast<int>(served));
    ASSERT_NE(block.at, nullptr) << "after " << served << " bytes in all";
    Drop(block);
  }
}

TEST_P(AllocatorConformance, NoBytesAreABlockOfTheirOwnOrNone) {
  void* const first = under_->Allocate(0);
  void* const second = under_->Allocate(0);
  if (first != nullptr) {
    EXPECT_NE(first, second);
  }
  under_->Free(first, 0);
  under_->Free(second, 0);
  under_->Free(nullptr, 0);
}

TEST_P(AllocatorConformance, ImpossibleSizesAreRefusedAndNothingIsChanged) {
  const Block before = New(Sizes().front(), 0x11);
  ASSERT_NE(before.at, nullptr);
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 63, SIZE_MAX - 4095, SIZE_MAX / 2 + 1, SIZE_MAX / 2,
                             size_t{1} << 62, size_t{1} << 56, size_t{1} << 48}) {
    EXPECT_EQ(under_->Allocate(bytes), nullptr) << bytes;
  }
  const Block after = New(Sizes().back(), 0x22);
  ASSERT_NE(after.at, nullptr) << "it serves no more";
  EXPECT_TRUE(before.Holds());
  EXPECT_TRUE(after.Holds());
  Drop(before);
  Drop(after);
}

class ThreadedAllocatorConformance : public AllocatorConformance {};

// Four threads; each frees what another one has made.
TEST_P(ThreadedAllocatorConformance, ThreadsGetBlocksOfTheirOwnAndMayFreeEachOthers) {
  constexpr int kThreads = 4;
  std::mutex mutex;
  std::vector<Block> pool;  // guarded by mutex
  std::atomic<int> wrong{0}, refused{0};
  const size_t share = under_->room() / kThreads;
  const auto work = [&](int thread) {
    std::mt19937_64 random(thread);
    for (int i = 0; i < 1500; ++i) {
      Block given, taken;
      {
        std::lock_guard<std::mutex> lock(mutex);
        size_t bytes = 0;
        for (const Block& block : pool) bytes += block.bytes;
        if (!pool.empty() && (random() % 2 == 0 || bytes > share)) {
          std::swap(pool[random() % pool.size()], pool.back());
          taken = pool.back();
          pool.pop_back();
        }
      }
      if (taken.at != nullptr) {
        if (!taken.Holds()) ++wrong;
        Drop(taken);
      }
      given = New(std::min(AnySize(random), share / 2), static_cast<int>(random() % 256));
      if (given.at == nullptr) {
        ++refused;
        continue;
      }
      std::lock_guard<std::mutex> lock(mutex);
      pool.push_back(given);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(refused, 0);
  for (const Block& block : pool) {
    EXPECT_TRUE(block.Holds());
    Drop(block);
  }
}

class ReallocatingAllocatorConformance : public AllocatorConformance {};

TEST_P(ReallocatingAllocatorConformance, TheCommonPartKeepsItsBytes) {
  std::mt19937_64 random(11);
  std::vector<size_t> sizes = Sizes();
  char* pointer = nullptr;
  size_t had = 0;
  for (int i = 0; i < 300; ++i) {
    const size_t bytes = sizes[random() % sizes.size()];
    auto* const moved = static_cast<char*>(under_->Reallocate(pointer, bytes));
    ASSERT_NE(moved, nullptr) << had << " to " << bytes;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(moved) % 64, 0u) << had << " to " << bytes;
    const size_t common = std::min(had, bytes);
    ASSERT_TRUE(std::all_of(moved, moved + common, [i](char c) { return c == static_cast<char>(i - 1); }))
        << had << " to " << bytes;
    std::memset(moved, i, bytes);
    pointer = moved;
    had = bytes;
  }
  under_->Free(pointer, had);
}

TEST_P(ReallocatingAllocatorConformance, AResizeThatIsRefusedLeavesTheBlockAsItWas) {
  const Block block = New(Sizes().back(), 0x77);
  ASSERT_NE(block.at, nullptr);
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX / 2, size_t{1} << 56, size_t{1} << 48}) {
    EXPECT_EQ(under_->Reallocate(block.at, bytes), nullptr) << bytes;
  }
  EXPECT_TRUE(block.Holds());
  Drop(block);
}

class RefusingAllocatorConformance : public AllocatorConformance {};

TEST_P(RefusingAllocatorConformance, WhatIsFreedTwiceOrInTheMiddleIsRefusedWithAMessageAndDoesNoHarm) {
  for (const size_t bytes : Sizes()) {
    const Block other = New(bytes, 0x31), block = New(bytes, 0x32);
    ASSERT_NE(block.at, nullptr);
    if (bytes > 64) {
      EXPECT_NE(under_->FreeWrongly(block.at + 1), "") << bytes;
      EXPECT_NE(under_->FreeWrongly(block.at + 64), "") << bytes;
    }
    EXPECT_TRUE(block.Holds());
    Drop(block);
    EXPECT_THAT(under_->FreeWrongly(block.at), ::testing::HasSubstr("freed before")) << bytes;
    const Block next = New(bytes, 0x33), after = New(bytes, 0x34);
    EXPECT_NE(next.at, after.at) << "a block freed twice is given twice";
    EXPECT_TRUE(other.Holds());
    EXPECT_TRUE(next.Holds());
    for (const Block& left : {other, next, after}) Drop(left);
  }
}

class ForeignFreeConformance : public AllocatorConformance {};

TEST_P(ForeignFreeConformance, WhatWasNeverAllocatedHereIsRefusedWithAMessage) {
  static int in_data = 0;
  int on_stack = 0;
  const std::unique_ptr<char[]> on_heap(new char[100]);
  for (void* const pointer : {static_cast<void*>(&in_data), static_cast<void*>(&on_stack),
                              static_cast<void*>(on_heap.get()), reinterpret_cast<void*>(uintptr_t{64})}) {
    EXPECT_THAT(under_->FreeWrongly(pointer), ::testing::HasSubstr("foreign")) << pointer;
  }
}

class BudgetedAllocatorConformance : public AllocatorConformance {};

TEST_P(BudgetedAllocatorConformance, TheBudgetHoldsFromTheFirstAllocationOnWhileMuchMoreIsInUse) {
  ASSERT_GT(under_->budget(), 0u);
  std::vector<Block> blocks;
  const size_t bytes = std::max<size_t>(under_->least() + 1, under_->budget() / 10);
  for (size_t live = 0; live < 3 * under_->budget(); live += bytes) {
    blocks.push_back(New(bytes, static_cast<int>(blocks.size())));
    ASSERT_NE(blocks.back().at, nullptr) << "after " << live;
    ASSERT_LE(under_->peak_fast_bytes(), under_->budget()) << "after " << live;
  }
  for (int round = 0; round < 2; ++round) {
    for (const Block& block : blocks) ASSERT_TRUE(block.Holds());
  }
  EXPECT_LE(under_->peak_fast_bytes(), under_->budget());
  EXPECT_GT(under_->peak_fast_bytes(), under_->budget() / 2) << "fast memory was left unused";
  for (const Block& block : blocks) Drop(block);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ThreadedAllocatorConformance);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ReallocatingAllocatorConformance);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RefusingAllocatorConformance);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ForeignFreeConformance);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BudgetedAllocatorConformance);

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_CONFORMANCE_ALLOCATOR_CONFORMANCE_H_

#include "src/arena/slab_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace thermocline::arena {
namespace {

TEST(SlabAllocatorTest, AClassHoldsItsSizeAndLosesAtMostAFifthAbove512Bytes) {
  for (int64_t bytes = 1; bytes <= SlabAllocator::kLargestObject; ++bytes) {
    const int64_t rounded = SlabAllocator::ClassBytes(SlabAllocator::ClassOf(bytes));
    ASSERT_GE(rounded, bytes);
    ASSERT_EQ(rounded % 64, 0) << bytes;
    if (bytes > 512) {
      ASSERT_LE(rounded - bytes, rounded / 5) << bytes;
    }
  }
}

TEST(SlabAllocatorTest, OnlyTheBeginningOfALiveObjectCanBeFreed) {
  SlabAllocator slabs;
  const int size_class = SlabAllocator::ClassOf(192);
  EXPECT_EQ(slabs.Allocate(size_class), -1);
  const uint32_t span = slabs.AddSpan(size_class, 1 << 20);
  const int64_t object = slabs.Allocate(size_class);
  bool empty = false;
  for (int64_t wrong : {object + 1, object + 64, object + 192, object - 192, int64_t{0}, object + (1 << 20)}) {
    EXPECT_FALSE(slabs.Free(span, wrong, &empty)) << wrong - object;
  }
  EXPECT_FALSE(slabs.Free(span + 1, object, &empty));
  EXPECT_FALSE(slabs.Free(SlabAllocator::kNoSpan, object, &empty));
  EXPECT_TRUE(slabs.Free(span, object, &empty));
  EXPECT_TRUE(empty);
  EXPECT_FALSE(slabs.Free(span, object, &empty)) << "a second time";
  EXPECT_EQ(slabs.RemoveSpan(span), 1 << 20);
  EXPECT_FALSE(slabs.Free(span, object, &empty)) << "in a span that is gone";
  EXPECT_EQ(slabs.Allocate(size_class), -1);
}

TEST(SlabAllocatorTest, CountsABitForEachObjectThatItsSpansHold) {
  SlabAllocator slabs;
  const int64_t before = slabs.MetadataBytes();
  for (int i = 0; i < 100; ++i) slabs.AddSpan(SlabAllocator::ClassOf(64), i * SlabAllocator::kSpanBytes);
  const int64_t bitmaps = 100 * (SlabAllocator::kSpanBytes / 64 / 8);
  EXPECT_GT(slabs.MetadataBytes() - before, bitmaps);
  EXPECT_LT(slabs.MetadataBytes() - before, 2 * bitmaps);
}

TEST(SlabAllocatorTest, ObjectsNeverOverlapUnderRandomUse) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    SlabAllocator slabs;
    int64_t next_span = 0;
    std::map<int64_t, std::pair<int64_t, uint32_t>> live;  // offset to (bytes, span)
    std::map<int64_t, uint32_t> spans;
    for (int i = 0; i < 20000; ++i) {
      if (random() % 5 < 3) {
        const int size_class =
            SlabAllocator::ClassOf(1 + static_cast<int64_t>(random() % SlabAllocator::kLargestObject));
        int64_t at = slabs.Allocate(size_class);
        if (at < 0) {
          spans[next_span] = slabs.AddSpan(size_class, next_span);
          next_span += SlabAllocator::kSpanBytes;
          at = slabs.Allocate(size_class);
        }
        const int64_t bytes = SlabAllocator::ClassBytes(size_class);
        const auto span = std::prev(spans.upper_bound(at));
        ASSERT_LE(at + bytes, span->first + SlabAllocator::kSpanBytes);
        const auto after = live.lower_bound(at);
        ASSERT_TRUE(after == live.end() || after->first >= at + bytes);
        ASSERT_TRUE(after == live.begin() || std::prev(after)->first + std::prev(after)->second.first <= at);
        live[at] = {bytes, span->second};
        ASSERT_EQ(slabs.ObjectBytes(span->second, at), bytes);
      } else if (!live.empty()) {
        const auto victim = std::next(live.begin(), random() % live.size());
        bool empty = false;
        ASSERT_TRUE(slabs.Free(victim->second.second, victim->first, &empty));
        if (empty) {
          const uint32_t span = victim->second.second;
          ASSERT_EQ(spans.erase(slabs.RemoveSpan(span)), 1u);
        }
        live.erase(victim);
      }
    }
  }
}

}  // namespace
}  // namespace thermocline::arena

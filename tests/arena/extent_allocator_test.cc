#include "src/arena/extent_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace thermocline::arena {
namespace {

constexpr int64_t kPage = ExtentAllocator::kPage;

TEST(ExtentAllocatorTest, TakesTheSmallestExtentThatFitsAndTheLowestAmongEquals) {
  ExtentAllocator extents(0, 100 * kPage);
  std::vector<int64_t> at;
  for (int pages : {4, 1, 2, 1, 2, 1}) at.push_back(extents.Allocate(pages * kPage));
  extents.Free(at[4], 2 * kPage);
  extents.Free(at[0], 4 * kPage);
  extents.Free(at[2], 2 * kPage);
  EXPECT_EQ(extents.Allocate(2 * kPage), at[2]);
  EXPECT_EQ(extents.Allocate(kPage), at[4]);
  EXPECT_EQ(extents.Allocate(3 * kPage), at[0]);
}

TEST(ExtentAllocatorTest, AnOffsetOtherThanZeroIsAlignedToo) {
  ExtentAllocator extents(5 * kPage, 64 * kPage);
  const int64_t at = extents.Allocate(3 * kPage, 16 * kPage);
  EXPECT_EQ(at, 16 * kPage);
  EXPECT_EQ(extents.Allocate(11 * kPage), 5 * kPage) << "what the alignment skipped is not lost";
}

// Every page has at most one owner, nothing lies outside, and what is free can be had again as one piece.
TEST(ExtentAllocatorTest, AgreesWithAModelUnderRandomUse) {
  constexpr int64_t kPages = 512, kBegin = 7;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    ExtentAllocator extents(kBegin * kPage, (kBegin + kPages) * kPage);
    std::map<int64_t, int64_t> live;
    std::vector<bool> taken(kPages);
    for (int i = 0; i < 2000; ++i) {
      if (random() % 5 < 3) {
        const int64_t pages = 1 + static_cast<int64_t>(random() % 40), alignment = int64_t{1} << random() % 5;
        const int64_t at = extents.Allocate(pages * kPage, alignment * kPage);
        if (at < 0) {
          // Then no run of that many and the slack for alignment is free.
          int64_t run = 0;
          for (const bool used : taken) {
            run = used ? 0 : run + 1;
            ASSERT_LT(run, pages + alignment - 1) << seed << " " << i;
          }
          continue;
        }
        ASSERT_EQ(at % (alignment * kPage), 0);
        for (int64_t page = at / kPage - kBegin; page < at / kPage - kBegin + pages; ++page) {
          ASSERT_FALSE(taken.at(page)) << seed << " " << i;
          taken[page] = true;
        }
        live[at] = pages;
      } else if (!live.empty()) {
        const auto victim = std::next(live.begin(), random() % live.size());
        extents.Free(victim->first, victim->second * kPage);
        for (int64_t page = 0; page < victim->second; ++page) taken[victim->first / kPage - kBegin + page] = false;
        live.erase(victim);
      }
    }
    for (const auto& [at, pages] : live) extents.Free(at, pages * kPage);
    EXPECT_EQ(extents.Allocate(kPages * kPage), kBegin * kPage) << "neighbours were not merged";
    EXPECT_EQ(extents.Allocate(kPage), -1);
  }
}

}  // namespace
}  // namespace thermocline::arena

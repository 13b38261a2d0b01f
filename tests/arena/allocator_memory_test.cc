// The system has no memory left for the bookkeeping of addresses: an allocation that fails changes nothing, and a free
// needs none.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "src/arena/allocator.h"
#include "src/arena/extent_allocator.h"
#include "src/arena/residency.h"
#include "tests/base/failing_new.h"
#include "tests/tier/held_tier.h"

namespace thermocline::arena {
namespace {

using ::thermocline::testing::NoMemory;

constexpr int64_t kPage = ExtentAllocator::kPage;

// The call, again and again, each time with memory for one more allocation, until that is enough. Adds to `failures`
// how often it was not; `after_failure` looks at what it left.
template <typename Call>
auto UntilItSucceeds(const Call& call, int64_t* failures, const std::function<void()>& after_failure = nullptr) {
  for (int64_t n = 0;; ++n) {
    try {
      const NoMemory none(n);
      return call();
    } catch (const std::bad_alloc&) {
      ++*failures;
    }
    if (after_failure != nullptr) after_failure();
  }
}

TEST(AllocatorWithoutMemory, TheFreeExtentsStayAsTheyWere) {
  constexpr int64_t kPages = 512;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    std::mt19937_64 random(seed);
    ExtentAllocator extents(0, kPages * kPage), unharmed(0, kPages * kPage);
    std::map<int64_t, int64_t> live;
    int64_t failures = 0;
    for (int i = 0; i < 1000; ++i) {
      if (random() % 5 < 3) {
        const int64_t bytes = kPage * (1 + static_cast<int64_t>(random() % 40)), alignment = kPage << random() % 5;
        const int64_t at = UntilItSucceeds([&] { return extents.Allocate(bytes, alignment); }, &failures);
        ASSERT_EQ(at, unharmed.Allocate(bytes, alignment)) << seed << " " << i;
        if (at >= 0) live[at] = bytes;
      } else if (!live.empty()) {
        const auto victim = std::next(live.begin(), random() % live.size());
        {
          const NoMemory none;
          extents.Free(victim->first, victim->second);
        }
        unharmed.Free(victim->first, victim->second);
        live.erase(victim);
      }
    }
    EXPECT_GT(failures, 20);
    for (const auto& [at, bytes] : live) extents.Free(at, bytes);
    EXPECT_EQ(extents.Allocate(kPages * kPage), 0) << "neighbours were not merged";
  }
}

TEST(AllocatorWithoutMemory, NothingLivesThatWasRefused) {
  constexpr Bytes kGranule = KiB(64);
  tier::HeldTier tier(kGranule, 64);
  ResidencyOptions options;
  options.granule_bytes = kGranule;
  options.address_space = MiB(64);
  options.frames = options.most_frames = 256;
  const auto residency = *Residency::Create(options, os::RealMemory(), tier, MonotonicClock());
  const auto allocator = *Allocator::Create(*residency);
  int64_t failures = 0, planned = allocator->planned_begin();
  std::vector<void*> live;
  for (int i = 0; i < 300; ++i) {
    const AllocatorStats before = allocator->Stats();
    const int64_t backed = residency->Stats().backed;
    const auto nothing_changed = [&] {
      EXPECT_EQ(allocator->Stats().live, before.live);
      EXPECT_EQ(residency->Stats().backed, backed);
    };
    const auto allocate = [&]() -> void* {
      if (i % 3 == 0) return allocator->Allocate(KiB(20), Bytes(64), false, nullptr);  // in a slab
      if (i % 3 == 1) return allocator->Allocate(KiB(40), Bytes(64), false, nullptr);
      return allocator->AllocateAt(planned, KiB(40), nullptr);
    };
    live.push_back(UntilItSucceeds(allocate, &failures, nothing_changed));
    ASSERT_NE(live.back(), nullptr) << i;
    if (i % 3 == 2) planned += KiB(40).count();
  }
  EXPECT_GT(failures, 50);
  for (void* const tensor : live) {
    const NoMemory none;
    ASSERT_TRUE(allocator->Free(tensor, nullptr));
  }
  EXPECT_EQ(allocator->Stats().live, Bytes(0));
}

}  // namespace
}  // namespace thermocline::arena

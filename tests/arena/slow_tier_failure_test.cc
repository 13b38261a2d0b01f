// The slow tier fails at any moment of any migration: whichever transfer it is, once or for a while, full or broken,
// every byte that could be kept is kept, nobody hangs, and it goes on. What a file system keeps of it in memory counts.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "src/arena/allocator.h"
#include "src/migrate/mover.h"
#include "src/tier/emulated_tier.h"
#include "src/tier/file_tier.h"
#include "tests/tier/faulty_file_system.h"

namespace thermocline::arena {
namespace {

using tier::Direction;

constexpr Bytes kGranule = KiB(64);
constexpr int kFrames = 8;
constexpr int kTensors = 20;  // a granule each

// Fails the transfers counted `first` to `last` in this direction.
class BrokenFor final : public tier::BlockTier {
 public:
  BrokenFor(Direction direction, int error, int first, int last)
      : direction_(direction), error_(error), first_(first), last_(last) {
    tier::EmulatedTierOptions options;
    options.granule_bytes = kGranule;
    options.capacity = kGranule * 64;
    options.in = options.out = BytesPerSecond(20e9);
    under_ = *tier::EmulatedTier::Create(options);
  }
  int counted() const { return count_; }
  int failed() const { return failed_; }

  std::string Describe() const override { return under_->Describe(); }
  Bytes granule_bytes() const override { return under_->granule_bytes(); }
  Bytes capacity() const override { return under_->capacity(); }
  SlotId AllocateSlot() override { return under_->AllocateSlot(); }
  void FreeSlot(SlotId slot) override { under_->FreeSlot(slot); }
  int max_in_flight() const override { return under_->max_in_flight(); }
  int Submit(absl::Span<const tier::Transfer> transfers) override {
    int taken = 0;
    for (const tier::Transfer& transfer : transfers) {
      if (transfer.direction == direction_) {
        const int number = ++count_;
        if (number >= first_ && number <= last_) {
          refused_.push_back({transfer.tag, error_});
          ++failed_;
          ++taken;
          continue;
        }
      }
      if (under_->Submit({transfer}) == 0) {
        if (transfer.direction == direction_) --count_;
        break;
      }
      ++taken;
    }
    return taken;
  }
  void Reap(std::vector<tier::Completion>* completions, int64_t timeout_nanos) override {
    under_->Reap(completions, refused_.empty() ? timeout_nanos : 0);
    completions->insert(completions->end(), refused_.begin(), refused_.end());
    refused_.clear();
  }
  void Wake() override { under_->Wake(); }
  int ReadSync(SlotId slot, void* memory) override { return under_->ReadSync(slot, memory); }
  tier::BlockTierStats Stats() const override { return under_->Stats(); }

 private:
  const Direction direction_;
  const int error_, first_, last_;
  std::unique_ptr<tier::BlockTier> under_;
  std::atomic<int> count_{0}, failed_{0};
  std::vector<tier::Completion> refused_;  // the mover's
};

// Writes, reads and rewrites two and a half times as much as there is room for, frees some on the way, and looks at
// every byte. False when the failing transfers were never reached.
bool Live(Direction direction, int error, int first, int last) {
  BrokenFor tier(direction, error, first, last);
  ResidencyOptions options;
  options.granule_bytes = kGranule;
  options.address_space = MiB(64);
  options.frames = options.most_frames = kFrames;
  const auto residency = *Residency::Create(options, os::RealMemory(), tier, MonotonicClock());
  const auto allocator = *Allocator::Create(*residency);
  migrate::MoverOptions mover_options;
  mover_options.failure_pause_nanos = 100'000;
  migrate::Mover mover(*residency, tier, MonotonicClock(), mover_options);
  mover.Start();
  std::vector<char*> tensors;
  const auto fill = [](int i, int round) { return static_cast<char>(i * 3 + round); };
  const auto holds = [](const char* tensor, char c) {
    return std::all_of(tensor, tensor + kGranule.count(), [c](char byte) { return byte == c; });
  };
  for (int i = 0; i < kTensors; ++i) {
    tensors.push_back(static_cast<char*>(allocator->Allocate(kGranule, Bytes(64), false, nullptr)));
    EXPECT_NE(tensors[i], nullptr) << i;
    if (tensors[i] == nullptr) break;
    std::memset(tensors[i], fill(i, 0), kGranule.count());
  }
  for (int round = 1; round <= 2; ++round) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_TRUE(holds(tensors[i], fill(static_cast<int>(i), round - 1))) << "tensor " << i << ", round " << round;
      std::memset(tensors[i], fill(static_cast<int>(i), round), kGranule.count());
    }
  }
  for (size_t i = 0; i < tensors.size(); i += 2) EXPECT_TRUE(allocator->Free(tensors[i], nullptr));
  for (size_t i = 1; i < tensors.size(); i += 2) {
    EXPECT_TRUE(holds(tensors[i], fill(static_cast<int>(i), 2)));
    EXPECT_TRUE(allocator->Free(tensors[i], nullptr));
  }
  EXPECT_LE(residency->Stats().peak_frames, kFrames);
  mover.Stop();
  return tier.failed() > 0;
}

class AtAnyMoment : public ::testing::TestWithParam<std::tuple<Direction, int>> {};

TEST_P(AtAnyMoment, OneTransferFails) {
  const auto [direction, error] = GetParam();
  int moments = 0;
  while (moments < 200 && Live(direction, error, moments + 1, moments + 1)) {
    ++moments;
    ASSERT_FALSE(HasFailure()) << "when transfer " << moments << " failed";
  }
  EXPECT_GT(moments, 20) << "hardly anything moved, so hardly anything was tested";
}

// Three in a row are what a read survives (it is tried three times more); a write survives any number.
TEST_P(AtAnyMoment, SeveralInARowFail) {
  const auto [direction, error] = GetParam();
  const int most = direction == Direction::kIn ? 3 : 100;
  int moments = 0;
  for (int first = 1; first < 200 && Live(direction, error, first, first + most - 1); first += 7) {
    ++moments;
    ASSERT_FALSE(HasFailure()) << "when transfers from " << first << " on failed";
  }
  EXPECT_GT(moments, 3);
}

INSTANTIATE_TEST_SUITE_P(SlowTier, AtAnyMoment,
                         ::testing::Combine(::testing::Values(Direction::kIn, Direction::kOut),
                                            ::testing::Values(ENOSPC, EIO)));

TEST(SlowTierInThePageCache, IsWithinTheFastBudgetAtAnyMoment) {
  constexpr int kBudget = 24;
  tier::NoDirectFileSystem files;
  tier::FileTierOptions file;
  file.directory = tier::SlowTestDirectory();
  file.granule_bytes = kGranule;
  file.capacity = kGranule * 256;
  const auto tier = *tier::FileTier::Create(file, files);
  ASSERT_FALSE(tier->direct());
  ResidencyOptions options;
  options.granule_bytes = kGranule;
  options.address_space = MiB(64);
  options.frames = options.most_frames = kBudget;
  const auto residency = *Residency::Create(options, os::RealMemory(), *tier, MonotonicClock());
  const auto allocator = *Allocator::Create(*residency);
  migrate::Mover mover(*residency, *tier, MonotonicClock(), {});
  mover.Start();
  std::atomic<bool> done{false};
  Bytes most, most_cached;
  std::thread watcher([&] {
    while (!done) {
      const Bytes frames = kGranule * residency->Stats().frames_in_use;
      const Bytes cached(std::max<int64_t>(0, files.CachedByMincore(tier->fd(), file.capacity.count())));
      most = std::max(most, frames + cached);
      most_cached = std::max(most_cached, cached);
    }
  });
  std::vector<char*> tensors;
  for (int i = 0; i < 4 * kBudget; ++i) {
    tensors.push_back(static_cast<char*>(allocator->Allocate(kGranule, Bytes(64), false, nullptr)));
    ASSERT_NE(tensors[i], nullptr) << i;
    std::memset(tensors[i], i, kGranule.count());
  }
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4 * kBudget; ++i) tensors[i][round] = tensors[i][100];
  }
  done = true;
  watcher.join();
  mover.Stop();
  EXPECT_GT(most_cached, Bytes(0)) << "nothing of it was seen";
  EXPECT_GT(most, kGranule * (kBudget / 2));
  EXPECT_LE(most, kGranule * kBudget);
}

TEST(SlowTierInThePageCache, TakesItsShareOfTheFastBudget) {
  constexpr int64_t kKept = 3, kBudget = 24, kCount = 3 * kBudget;
  tier::KeepsCacheFileSystem files((kGranule * kKept).count());
  tier::FileTierOptions file;
  file.directory = tier::SlowTestDirectory();
  file.granule_bytes = kGranule;
  file.capacity = kGranule * 256;
  const auto tier = *tier::FileTier::Create(file, files);
  ASSERT_FALSE(tier->direct());
  ResidencyOptions options;
  options.granule_bytes = kGranule;
  options.address_space = MiB(64);
  options.frames = options.most_frames = kBudget;
  const auto residency = *Residency::Create(options, os::RealMemory(), *tier, MonotonicClock());
  const auto allocator = *Allocator::Create(*residency);
  migrate::Mover mover(*residency, *tier, MonotonicClock(), {});
  mover.Start();
  std::vector<char*> tensors;
  for (int i = 0; i < kCount; ++i) {
    tensors.push_back(static_cast<char*>(allocator->Allocate(kGranule, Bytes(64), false, nullptr)));
    ASSERT_NE(tensors[i], nullptr) << i;
    std::memset(tensors[i], i + 1, kGranule.count());
  }
  const int64_t left = kBudget - kKept - tier->Stats().cached_in_flight / kGranule;
  ASSERT_GT(left, Residency::kFewestFrames);
  const auto limit = [&] {
    Residency::Lock lock(*residency);
    return residency->frames().limit();
  };
  // A transfer under way is in the cache for a moment, and counts: so it takes a few rounds until only what stays does.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (int round = 0; round < 3 || (limit() != left && std::chrono::steady_clock::now() < end); ++round) {
    for (int i = 0; i < kCount; ++i) {
      ASSERT_TRUE(std::all_of(tensors[i], tensors[i] + kGranule.count(), [&](char byte) { return byte == i + 1; }))
          << i;
    }
  }
  EXPECT_EQ(limit(), left);
  mover.Stop();
  EXPECT_EQ(tier->Stats().cached, kGranule * kKept);
  EXPECT_LE(kGranule * residency->Stats().frames_in_use + tier->Stats().cached, kGranule * kBudget);
  EXPECT_GT(residency->Stats().peak_fast, kGranule * residency->Stats().peak_frames)
      << "it was found when all was full";
}

}  // namespace
}  // namespace thermocline::arena

// Threads write, read, pin and check tensors while everything migrates at random: by demand, by senseless plans, by
// budget changes; on each kind of memory: frames that move unseen, frames that the kernel tells when it holds them, and
// holes that the kernel waits at; and to a file. One wrong byte fails the test, and one page of fast memory over the
// budget, by the kernel's own count.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "src/arena/allocator.h"
#include "src/arena/residency.h"
#include "src/base/clock.h"
#include "src/migrate/mover.h"
#include "src/os/choose_memory.h"
#include "src/os/memory.h"
#include "src/os/watched_memory.h"
#include "src/plan/migration_plan.h"
#include "src/tier/emulated_tier.h"
#include "src/tier/file_tier.h"
#include "tests/os/smaps.h"

namespace thermocline {
namespace {

constexpr Bytes kGranule = KiB(64);
constexpr int kThreads = 3;
// The budget changes between these. A thread pins two granules at most, and four frames are left to everything else.
constexpr int64_t kFewestFrames = 2 * kThreads + arena::Residency::kFewestFrames + 2, kFrames = 24, kMostFrames = 64;

int Seconds() {
  const char* text = std::getenv("THERMOCLINE_STRESS_SECONDS");
  return text != nullptr ? std::max(1, std::atoi(text)) : 3;
}

// A small machine: 24 frames of fast memory, a slow tier, a mover.
// kKernelFaultsBefore68: as on kernels without UFFDIO_MOVE, and with few mappings to spare.
enum class Kind { kPlain, kFile, kHeldFrames, kKernelFaults, kKernelFaultsBefore68 };

class MigrationStress : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kFile) {
      tier::FileTierOptions tier_options;
      tier_options.directory = "/var/tmp";
      tier_options.granule_bytes = kGranule;
      tier_options.capacity = MiB(64);
      tier_ = *tier::FileTier::Create(tier_options);
    } else {
      tier::EmulatedTierOptions tier_options;
      tier_options.granule_bytes = kGranule;
      tier_options.capacity = MiB(64);
      tier_options.in = tier_options.out = BytesPerSecond(2e9);
      tier_options.latency_seconds = 20e-6;
      tier_ = *tier::EmulatedTier::Create(tier_options);
    }
    if (GetParam() == Kind::kKernelFaultsBefore68) {
      auto made = os::WatchedMemory::Create({.kernel_faults = true, .held_frames = false, .most_loose_holes = 8});
      if (!made.ok()) {
        GTEST_SKIP() << "needs userfaultfd for the kernel's faults: root or CAP_SYS_PTRACE: " << made.status();
      }
      watched_ = *std::move(made);
    } else if (GetParam() >= Kind::kHeldFrames) {
      auto made = os::MakeWatchedMemory(GetParam() == Kind::kKernelFaults ? "on" : "off");
      if (!made.ok() || *made == nullptr) {
        GTEST_SKIP() << "needs userfaultfd for the kernel's faults (root, CAP_SYS_PTRACE) or UFFDIO_MOVE (Linux 6.8): "
                     << made.status();
      }
      watched_ = *std::move(made);
    }
    os::Memory& memory = watched_ != nullptr ? *watched_ : os::RealMemory();
    arena::ResidencyOptions options;
    options.granule_bytes = kGranule;
    options.address_space = GiB(1);
    options.frames = kFrames;
    options.most_frames = kMostFrames;
    residency_ = *arena::Residency::Create(options, memory, *tier_, MonotonicClock());
    allocator_ = *arena::Allocator::Create(*residency_);
    mover_ = std::make_unique<migrate::Mover>(*residency_, *tier_, MonotonicClock(), migrate::MoverOptions{});
    mover_->Start();
  }

  void TearDown() override {
    if (mover_ != nullptr) mover_->Stop();
  }

  // Pages at the tensors' addresses and at the frames', counted while none moves.
  Bytes FastBytes() {
    arena::Residency::Lock lock(*residency_);
    return os::InSmaps("Rss", residency_->base(), residency_->size()) +
           os::InSmaps("Rss", residency_->frames().Home(FrameId(0)), kGranule * kMostFrames);
  }

  std::unique_ptr<tier::BlockTier> tier_;
  std::unique_ptr<os::Memory> watched_;
  std::unique_ptr<arena::Residency> residency_;
  std::unique_ptr<arena::Allocator> allocator_;
  std::unique_ptr<migrate::Mover> mover_;
};

struct Owned {
  uint64_t* words = nullptr;
  int64_t count = 0;
  uint64_t seed = 0;
};

void Fill(Owned& tensor, uint64_t seed) {
  tensor.seed = seed;
  for (int64_t i = 0; i < tensor.count; ++i) tensor.words[i] = seed + i * 0x9e3779b97f4a7c15;
}

// Index of the first wrong word, -1 when all are right.
int64_t FirstWrong(const Owned& tensor, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (tensor.words[i] != tensor.seed + i * 0x9e3779b97f4a7c15) return i;
  }
  return -1;
}

// A pinned part is in fast memory all the time, and has its bytes.
bool HoldsPinned(arena::Residency& residency, const Owned& tensor, int64_t begin, int64_t end) {
  const arena::Residency::Range range = residency.RangeOf(tensor.words + begin, Bytes((end - begin) * 8));
  if (const absl::Status pinned = residency.Pin(range); !pinned.ok()) {
    ADD_FAILURE() << pinned;
    return false;
  }
  bool right = true;
  for (int round = 0; round < 20; ++round) {
    right &= FirstWrong(tensor, begin, end) < 0;
    for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) right &= residency.IsMapped(GranuleId(i));
  }
  return residency.Unpin(range).ok() && right;
}

// Allocates, fills, rewrites, pins, checks and frees tensors of its own until told to stop.
void Work(arena::Allocator& allocator, arena::Residency& residency, int thread, const std::atomic<bool>& stop,
          std::atomic<int64_t>& wrong, std::atomic<int64_t>& checks) {
  std::mt19937_64 random(thread + 1);
  std::vector<Owned> tensors(6);
  while (!stop.load()) {
    Owned& tensor = tensors[random() % tensors.size()];
    if (tensor.words == nullptr) {
      const int64_t bytes = 1024 + static_cast<int64_t>(random() % (6 * kGranule.count()));
      tensor.words = static_cast<uint64_t*>(allocator.Allocate(Bytes(bytes), Bytes(64), false, nullptr));
      if (tensor.words == nullptr) continue;
      tensor.count = bytes / 8;
      Fill(tensor, random());
      continue;
    }
    const int64_t begin = static_cast<int64_t>(random() % tensor.count);
    const int64_t end = std::min<int64_t>(tensor.count, begin + 4096);
    switch (random() % 5) {
      case 0:
        Fill(tensor, random());
        break;
      case 1:
        if (random() % 3 == 0) {
          allocator.Free(tensor.words, nullptr);
          tensor.words = nullptr;
          break;
        }
        [[fallthrough]];
      case 2:
      case 3:
        if (FirstWrong(tensor, begin, end) >= 0) wrong.fetch_add(1);
        checks.fetch_add(1);
        break;
      default:
        if (!HoldsPinned(residency, tensor, begin, end)) wrong.fetch_add(1);
    }
  }
  for (Owned& tensor : tensors) {
    if (tensor.words == nullptr) continue;
    if (FirstWrong(tensor, 0, tensor.count) >= 0) wrong.fetch_add(1);
    allocator.Free(tensor.words, nullptr);
  }
}

// A plan that moves random granules at random times.
std::shared_ptr<plan::MigrationPlan> RandomPlan(std::mt19937_64& random, int64_t granules) {
  auto plan = std::make_shared<plan::MigrationPlan>();
  plan->granule_bytes = kGranule;
  plan->layers.resize(16);
  const auto any = [&] { return GranuleId(static_cast<uint32_t>(random() % granules)); };
  for (plan::LayerActions& layer : plan->layers) {
    for (int i = 0; i < 4; ++i) {
      layer.release.push_back(any());
      layer.write_back.push_back(any());
      layer.provide.push_back(any());
      layer.need.push_back(any());
      layer.fetch.push_back({any(), LayerId(static_cast<int32_t>(random() % 16)), random() % 2 == 0});
    }
  }
  return plan;
}

TEST_P(MigrationStress, NoByteIsLostWhateverThePlanSays) {
  std::atomic<bool> stop{false};
  std::atomic<int64_t> wrong{0}, checks{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < kThreads; ++i) {
    workers.emplace_back([&, i] { Work(*allocator_, *residency_, i, stop, wrong, checks); });
  }
  std::mt19937_64 random(99);
  constexpr int64_t kFewestChecks = 100;
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + std::chrono::seconds(Seconds());
  // An emulated machine may need longer for enough to happen.
  const auto last = begin + 10 * std::chrono::seconds(Seconds());
  const auto goes_on = [&] {
    const auto now = std::chrono::steady_clock::now();
    return now < end || (checks.load() <= kFewestChecks && now < last);
  };
  int64_t position = 0;
  bool over_budget = false;
  int64_t budget = kFrames;
  int64_t most = budget;  // frames that may be in use: what is over a lowered budget leaves, and nothing comes instead
  const auto check_budget = [&](bool by_the_kernel) {
    over_budget |= by_the_kernel && FastBytes() > kGranule * most;
    const int64_t in_use = residency_->Stats().frames_in_use;
    over_budget |= in_use > most;
    most = std::max(budget, in_use);
  };
  while (goes_on()) {
    if (random() % 64 == 0) mover_->SetPlan(random() % 4 == 0 ? nullptr : RandomPlan(random, 80), position);
    if (random() % 256 == 0) residency_->SetPlanned(random() % 2 == 0, GranuleId(0), GranuleId(random() % 80));
    if (random() % 128 == 0) {
      budget = kFewestFrames + static_cast<int64_t>(random() % (kFrames - kFewestFrames + 1));
      most = std::max(most, budget);
      residency_->SetFrameLimit(budget);
    }
    mover_->EnterLayer(++position);
    check_budget(/*by_the_kernel=*/position % 64 == 0);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
  }
  residency_->SetFrameLimit(budget = kFewestFrames);
  const auto reached = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (most > budget && std::chrono::steady_clock::now() < reached) {
    mover_->EnterLayer(++position);
    check_budget(/*by_the_kernel=*/false);
  }
  EXPECT_EQ(most, budget) << "a smaller budget is reached while all goes on";
  check_budget(/*by_the_kernel=*/true);
  stop.store(true);
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_GT(checks.load(), kFewestChecks);
  EXPECT_FALSE(over_budget);
  const migrate::MoverStats stats = mover_->Stats();
  EXPECT_GT(stats.bytes_in.count(), 0);
  EXPECT_GT(stats.bytes_out.count(), 0);
  // Every tensor was freed: nothing may be left behind.
  EXPECT_EQ(allocator_->Stats().live, Bytes(0));
  EXPECT_EQ(residency_->Stats().kernel_faults > 0, GetParam() >= Kind::kKernelFaults);
}

std::string NameOf(const ::testing::TestParamInfo<Kind>& tested) {
  constexpr const char* kNames[] = {"Plain", "File", "HeldFrames", "KernelFaults", "KernelFaultsBefore68"};
  return kNames[static_cast<int>(tested.param)];
}
INSTANTIATE_TEST_SUITE_P(Memories, MigrationStress,
                         ::testing::Values(Kind::kPlain, Kind::kFile, Kind::kHeldFrames, Kind::kKernelFaults,
                                           Kind::kKernelFaultsBefore68),
                         NameOf);

}  // namespace
}  // namespace thermocline

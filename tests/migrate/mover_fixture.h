// MoverTest: a mover that is stepped by hand over a slow tier that holds transfers back, with what tests of either do
// to tensors. Touches that must fault come from another thread while the mover is stepped here.
//
// Thread safety: one test at a time.
#ifndef THERMOCLINE_TESTS_MIGRATE_MOVER_FIXTURE_H_
#define THERMOCLINE_TESTS_MIGRATE_MOVER_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/arena/allocator.h"
#include "src/migrate/mover.h"
#include "tests/tier/held_tier.h"

namespace thermocline::migrate {

using arena::Presence;
using arena::Residency;
using tier::Direction;

constexpr Bytes kGranule = KiB(64);
constexpr int kFrames = 16;
constexpr int kSlots = 40;

// The real calls; nothing can be mapped at a tensor's address while `full`.
class FullMemory final : public os::Memory {
 public:
  absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) override { return real_.Reserve(size, alignment); }
  int MapFresh(char* at, Bytes size, bool huge) override { return real_.MapFresh(at, size, huge); }
  int Attach(char* home, char* at, Bytes size, os::Protection p) override {
    return full ? ENOMEM : real_.Attach(home, at, size, p);
  }
  int Detach(char* at, char* home, Bytes size) override { return real_.Detach(at, home, size); }
  int Protect(char* at, Bytes size, os::Protection p) override { return real_.Protect(at, size, p); }
  int Discard(char* at, Bytes size) override { return real_.Discard(at, size); }
  void Collapse(char* at, Bytes size) override { real_.Collapse(at, size); }
  int Unmap(char* at, Bytes size) override { return real_.Unmap(at, size); }

  std::atomic<bool> full{false};

 private:
  os::Memory& real_ = os::RealMemory();
};

class MoverTest : public ::testing::Test {
 protected:
  // What a test may have otherwise than the rest.
  struct Setup {
    int read_ahead = 0;
    int depth = 64;  // of the slow tier
    Bytes busy = MoverOptions().busy;
    int frames = kFrames;
    int64_t reserve = MoverOptions().reserve;
    const Clock* clock = &MonotonicClock();  // the mover's
  };

  MoverTest() : MoverTest(Setup()) {}
  explicit MoverTest(const Setup& setup) : tier_(kGranule, kSlots, setup.depth) {
    arena::ResidencyOptions options;
    options.granule_bytes = kGranule;
    options.address_space = MiB(64);
    options.frames = setup.frames;
    options.most_frames = 2 * setup.frames;
    residency_ = *Residency::Create(options, memory_, tier_, MonotonicClock());
    allocator_ = *arena::Allocator::Create(*residency_);
    MoverOptions mover_options;
    mover_options.read_ahead = setup.read_ahead;
    mover_options.busy = setup.busy;
    mover_options.reserve = setup.reserve;
    mover_options.failure_pause_nanos = 1'000'000;
    mover_options.on_trouble = [this](const absl::Status& trouble) { troubles_.emplace_back(trouble.message()); };
    mover_ = std::make_unique<Mover>(*residency_, tier_, *setup.clock, mover_options);
  }

  // A tensor of one granule, filled with the byte.
  char* New(char fill) {
    auto* pointer = static_cast<char*>(allocator_->Allocate(kGranule, Bytes(64), false, nullptr));
    if (pointer != nullptr) Elsewhere([=] { std::memset(pointer, fill, kGranule.count()); });
    return pointer;
  }
  void Free(char* pointer) { ASSERT_TRUE(allocator_->Free(pointer, nullptr)); }
  GranuleId Id(const char* pointer) const { return residency_->GranuleOf(pointer); }
  Presence Where(const char* pointer) const {
    Residency::Lock lock(*residency_);
    return residency_->GranuleLocked(Id(pointer)).presence.load();
  }
  bool IsClean(const char* pointer) const {
    Residency::Lock lock(*residency_);
    return residency_->GranuleLocked(Id(pointer)).clean;
  }

  // Runs it on another thread while the mover is stepped here, until it is done.
  template <typename Action>
  void Elsewhere(Action action) {
    std::future<void> done = std::async(std::launch::async, action);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (done.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "the thread hangs";
      mover_->RunOnce(1'000'000);
    }
    done.get();
  }
  bool Holds(const char* pointer, char fill, int granules = 1) {
    const char* const end = pointer + granules * kGranule.count();
    bool right = false;
    Elsewhere([&] { right = std::all_of(pointer, end, [=](char c) { return c == fill; }); });
    return right;
  }
  void Step(int turns = 1) {
    for (int i = 0; i < turns; ++i) mover_->RunOnce(0);
  }
  // Plans that do one thing in layer 0; entered as a plan's second layer, so that nothing else happens.
  void Do(const plan::LayerActions& actions) {
    auto plan = std::make_shared<plan::MigrationPlan>();
    plan->granule_bytes = kGranule;
    plan->layout_end = MiB(64).count();
    plan->layers.resize(8);
    plan->layers[1] = actions;
    mover_->SetPlan(plan, 1);
    Step();
  }
  void Evict(char* pointer) {
    plan::LayerActions actions;
    actions.release.push_back(Id(pointer));
    Do(actions);
  }
  void WriteBack(char* pointer) {
    plan::LayerActions actions;
    actions.write_back.push_back(Id(pointer));
    Do(actions);
  }
  void Fetch(char* pointer, bool for_writing = false) {
    plan::LayerActions actions;
    actions.fetch.push_back({Id(pointer), LayerId(2), for_writing});
    Do(actions);
  }
  // Lets its eviction fail where no mapping can be had, so that it can be neither written nor mapped again. Leaves the
  // tier held and the memory full.
  bool Strand(char* pointer) {
    tier_.Hold(true);
    Evict(pointer);
    memory_.full = true;
    tier_.Release(0, EIO);
    Step();
    return Where(pointer) == Presence::kEvicting;
  }
  // In the slow tier and nowhere else.
  char* NewEvicted(char fill) {
    char* const pointer = New(fill);
    Evict(pointer);
    Step();
    EXPECT_EQ(Where(pointer), Presence::kHole);
    return pointer;
  }

  // Dead granules keep what they have until it is wanted; all of it can be had.
  void ExpectNothingLeft() {
    Step();
    {
      Residency::Lock lock(*residency_);
      residency_->ReclaimDeadLocked(residency_->frames().limit());
    }
    EXPECT_EQ(tier_.slots_taken(), 0);
    EXPECT_EQ(residency_->Stats().slots, 0);
    EXPECT_EQ(residency_->Stats().frames_in_use, 0);
    EXPECT_EQ(residency_->Stats().backed, 0);
  }

  FullMemory memory_;
  tier::HeldTier tier_;
  std::vector<std::string> troubles_;
  std::unique_ptr<Residency> residency_;
  std::unique_ptr<arena::Allocator> allocator_;
  std::unique_ptr<Mover> mover_;
};

}  // namespace thermocline::migrate

#endif  // THERMOCLINE_TESTS_MIGRATE_MOVER_FIXTURE_H_

// The system has no memory left for the mover's bookkeeping, from some allocation on: no byte and no transfer is lost,
// what is asked for is served, and the rest is done when there is memory again.
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/base/failing_new.h"
#include "tests/migrate/mover_fixture.h"

namespace thermocline::migrate {
namespace {

constexpr int64_t kMostAllocations = 24;  // of a turn here

// The parameter: allocations of each turn that succeed.
class MoverWithoutMemory : public MoverTest, public ::testing::WithParamInterface<int64_t> {
 protected:
  // Turns in which memory runs out.
  void StepWithout(int turns = 1) {
    for (int i = 0; i < turns; ++i) {
      const testing::NoMemory none(GetParam());
      mover_->RunOnce(0);
    }
  }
  bool failed() const { return testing::NoMemory::failed() > failed_before_; }
  void TearDown() override {
    if (GetParam() < kMostAllocations) return;
    EXPECT_FALSE(failed()) << "the last one is to have all the memory that it wants";
  }
  bool Said(const std::string& words) const {
    return std::any_of(troubles_.begin(), troubles_.end(),
                       [&](const std::string& trouble) { return trouble.find(words) != std::string::npos; });
  }

 private:
  const int64_t failed_before_ = testing::NoMemory::failed();
};

TEST_P(MoverWithoutMemory, TakesUpAPlanOnceThereIsSome) {
  char* const stays = New('s');
  char* const leaves = New('l');
  char* const released = New('r');
  char* const written = New('w');
  char* const comes = NewEvicted('c');
  char* const fetched = NewEvicted('f');
  mover_->StartRecording();
  auto plan = std::make_shared<plan::MigrationPlan>();
  plan->granule_bytes = kGranule;
  plan->layout_end = MiB(64).count();
  plan->layers.resize(8);
  plan->resident_at_start = {Id(stays), Id(released), Id(written), Id(comes)};
  plan->layers[0].release = {Id(released)};
  plan->layers[0].write_back = {Id(written)};
  plan->layers[0].fetch = {{Id(fetched), LayerId(2), false}};
  plan->layers[0].need = {Id(stays), Id(comes)};
  mover_->SetPlan(std::move(plan), 8);
  StepWithout(4);
  if (GetParam() == 0) {
    EXPECT_NE(Where(leaves), Presence::kHole) << "there was no memory for the plan";
  }
  Step(6);
  // Where it was missing for the record of moves alone, that is given up without a word.
  const bool said = Said("no memory was left");
  EXPECT_TRUE(said ? failed() : GetParam() > 0);
  EXPECT_LE(troubles_.size(), 1u) << "said once";
  for (char* const away : {leaves, released}) EXPECT_EQ(Where(away), Presence::kHole);
  for (char* const here : {stays, written, comes, fetched}) EXPECT_EQ(Where(here), Presence::kMapped);
  EXPECT_TRUE(IsClean(written));
  EXPECT_TRUE(Holds(stays, 's') && Holds(leaves, 'l') && Holds(released, 'r'));
  EXPECT_TRUE(Holds(written, 'w') && Holds(comes, 'c') && Holds(fetched, 'f'));
  for (char* const tensor : {stays, leaves, released, written, comes, fetched}) Free(tensor);
  ExpectNothingLeft();
}

TEST_P(MoverWithoutMemory, ServesTouchesThatNeedAnEviction) {
  char* const away = NewEvicted('a');
  std::vector<char*> others;
  for (int i = 0; i < kFrames; ++i) others.push_back(New(static_cast<char>('A' + i)));
  mover_->StartRecording();
  std::future<char> touch = std::async(std::launch::async, [=] { return *away; });
  // No turn has more memory than the parameter says, and the touch comes to its end.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (touch.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "the touch hangs";
    StepWithout();
  }
  EXPECT_EQ(touch.get(), 'a');
  for (int i = 0; i < kFrames; ++i) EXPECT_TRUE(Holds(others[i], static_cast<char>('A' + i))) << i;
  Free(away);
  for (char* const other : others) Free(other);
  ExpectNothingLeft();
}

TEST_P(MoverWithoutMemory, LosesNoTransferThatEndsThen) {
  constexpr int kTensors = 6;
  std::vector<char*> away, here;
  for (int i = 0; i < kTensors; ++i) away.push_back(NewEvicted(static_cast<char>('a' + i)));
  for (int i = 0; i < kTensors; ++i) here.push_back(New(static_cast<char>('A' + i)));
  mover_->StartRecording();
  tier_.Hold(true);
  plan::LayerActions actions;
  for (int i = 0; i < kTensors; ++i) {
    actions.release.push_back(Id(here[i]));
    actions.fetch.push_back({Id(away[i]), LayerId(2), false});
  }
  Do(actions);
  Step();
  const auto is_fetch = [](const tier::Transfer& transfer) { return transfer.direction == Direction::kIn; };
  ASSERT_TRUE(tier_.ReleaseWhere(is_fetch, EIO));  // is tried again
  tier_.Hold(false);
  StepWithout(6);
  Step(2);
  for (int i = 0; i < kTensors; ++i) {
    EXPECT_EQ(Where(away[i]), Presence::kMapped) << i;
    EXPECT_EQ(Where(here[i]), Presence::kHole) << i;
    EXPECT_TRUE(Holds(away[i], static_cast<char>('a' + i)));
    EXPECT_TRUE(Holds(here[i], static_cast<char>('A' + i)));
  }
  EXPECT_EQ(residency_->frames_leaving(), 0);
  for (char* const tensor : away) Free(tensor);
  for (char* const tensor : here) Free(tensor);
  ExpectNothingLeft();
}

INSTANTIATE_TEST_SUITE_P(FromEachAllocationOn, MoverWithoutMemory, ::testing::Range<int64_t>(0, kMostAllocations + 1));

}  // namespace
}  // namespace thermocline::migrate

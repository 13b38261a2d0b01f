// A profile that a run saved, a plan that `thermocline plan` made of it, and a run that was given the plan.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/plan/plan_file.h"
#include "src/plan/rebase.h"
#include "src/trace/trace_file.h"
#include "tests/cli/cli_fixture.h"
#include "tests/runtime/known_link.h"
#include "tests/runtime/network_on_runtime.h"

namespace thermocline::testing {
namespace {

constexpr Bytes kFast = MiB(3);
constexpr int kSteps = 6;
// A step's input, each layer's scratch and output, the gradient and each layer's next one.
constexpr int64_t kAllocationsAStep = 2 + 3 * kNetworkLayers;

class PlannedRun : public Cli {
 protected:
  std::unique_ptr<runtime::Runtime> Start(const std::string& plan) {
    runtime::RawSettings raw;
    raw.fast = std::to_string(kFast.count());
    raw.slow = "emulated:in=2GB/s,out=2GB/s";
    raw.granule_bytes = kNetworkGranule.count();
    raw.plan_in = plan;
    auto runtime = runtime::Runtime::Create(SettingsWithKnownLink(raw));
    EXPECT_TRUE(runtime.ok()) << runtime.status();
    return *std::move(runtime);
  }

  // The same network, by the plan: no step is profiled, and all but the first are placed.
  void ExpectRunsBy(const std::string& plan) {
    const std::unique_ptr<runtime::Runtime> runtime = Start(plan);
    std::vector<char*> allocated;
    NetworkHooks hooks = On(*runtime);
    hooks.allocate = [&allocated, allocate = hooks.allocate](size_t bytes) {
      return allocated.emplace_back(static_cast<char*>(allocate(bytes)));
    };
    EXPECT_EQ(Losses(std::move(hooks), steps_), losses_);
    EXPECT_EQ(CountLaidOut(allocated, *runtime->current_shape()->plan), (kSteps - 1) * kAllocationsAStep);
    const runtime::RuntimeStats stats = runtime->Stats();
    EXPECT_EQ(stats.profiles, 0);
    EXPECT_EQ(stats.matched, (kSteps - 1) * kAllocationsAStep);
    EXPECT_EQ(stats.mismatched, 0);
    EXPECT_GT(stats.mover.planned_fetches, 0);
    EXPECT_LE(kNetworkGranule * stats.residency.peak_frames, kFast);
  }

  // How many lie in the plan's layout. The first, a weight, is the lowest of what was there before the step.
  static int64_t CountLaidOut(const std::vector<char*>& allocated, const plan::MigrationPlan& plan) {
    int64_t lowest = plan.layout_base;
    for (const plan::Placement& placement : plan.placements) lowest = std::min(lowest, placement.offset);
    return std::count_if(allocated.begin(), allocated.end(), [&](const char* pointer) {
      const int64_t offset = pointer - allocated.front() + lowest;
      return offset >= plan.layout_base && offset < plan.layout_end;
    });
  }

  const std::vector<int> steps_ = std::vector<int>(kSteps, 1);
  const std::vector<double> losses_ = Losses(OnMalloc(), steps_);
};

TEST_F(PlannedRun, NeedsNoProfiledStepWithAPlanMadeFromASavedProfile) {
  const std::string profile = Path("profile.json"), plan = Path("plan.json");
  {
    const std::unique_ptr<runtime::Runtime> first = Start("");
    EXPECT_EQ(Losses(On(*first), steps_), losses_);
    EXPECT_EQ(first->Stats().profiles, 1);
    ASSERT_TRUE(trace::WriteTrace(profile, first->current_shape()->profile).ok());
  }
  const SubprocessResult made =
      Thermocline({"plan", "--trace", profile, "--fast", "2816KiB", "--granule", "64KiB", "-o", plan});
  ASSERT_EQ(made.exit_status, 0) << made.err;
  ExpectRunsBy(plan);
}

TEST_F(PlannedRun, NeedsNoProfiledStepWithThePlanOfAnEarlierRun) {
  const std::string here = Path("here.json"), elsewhere = Path("elsewhere.json");
  {
    const std::unique_ptr<runtime::Runtime> first = Start("");
    Losses(On(*first), steps_);
    plan::MigrationPlan plan = *first->current_shape()->plan;
    ASSERT_TRUE(plan::SavePlan(plan, here).ok());
    // As a machine with half the memory would have saved it.
    const int64_t base = RoundDown(Bytes(plan.layout_base / 2), kNetworkGranule).count();
    ASSERT_TRUE(plan::Rebase(base, plan.layout_base, &plan).ok());
    ASSERT_TRUE(plan::SavePlan(plan, elsewhere).ok());
  }
  ExpectRunsBy(here);
  ExpectRunsBy(elsewhere);
}

}  // namespace
}  // namespace thermocline::testing

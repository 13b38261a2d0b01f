// A network's losses are the same to the last bit with and without placement, at every budget, with every planner.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "src/runtime/runtime.h"
#include "tests/runtime/network_on_runtime.h"

namespace thermocline {
namespace {

constexpr int kSteps = 10;

struct Case {
  const char* name;
  const char* slow;
  Bytes fast;
  const char* planner;
  const char* kernel_faults = "off";
};

class BitIdentity : public ::testing::TestWithParam<Case> {};

TEST_P(BitIdentity, LossesAreThoseOfMalloc) {
  const std::vector<int> scales(kSteps, 1);
  const Case& c = GetParam();
  auto runtime = runtime::Runtime::Create(SmallSettings(c.slow, c.fast, c.planner, c.kernel_faults));
  if (!runtime.ok() && std::string(c.kernel_faults) == "on") {
    GTEST_SKIP() << "needs userfaultfd for the kernel's faults (root or CAP_SYS_PTRACE): " << runtime.status();
  }
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  EXPECT_EQ(Losses(On(**runtime), scales), Losses(OnMalloc(), scales));
  const runtime::RuntimeStats stats = (*runtime)->Stats();
  EXPECT_LE(stats.residency.peak_frames * 64 * 1024, c.fast.count());
  EXPECT_EQ(stats.allocator.live, Bytes(0));
  const bool planned = std::string(c.planner) != "lru" && c.fast >= KiB(512);
  EXPECT_EQ(stats.matched > 0, planned);
  if (planned) {
    EXPECT_GT(stats.matched, 100) << "the plan was never used";
    EXPECT_EQ(stats.mismatched, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Budgets, BitIdentity,
    ::testing::Values(Case{"full", "emulated:in=2GB/s,out=2GB/s", MiB(16), "lookahead"},
                      Case{"half", "emulated:in=2GB/s,out=2GB/s", MiB(6), "lookahead"},
                      Case{"fifth", "emulated:in=2GB/s,out=2GB/s", MiB(3), "lookahead"},
                      Case{"below_the_floor", "emulated:in=2GB/s,out=2GB/s", MiB(1), "lookahead"},
                      Case{"eight_frames", "emulated:in=2GB/s,out=2GB/s", KiB(512), "lookahead"},
                      Case{"too_few_frames_to_plan", "emulated:in=2GB/s,out=2GB/s", KiB(256), "lookahead"},
                      Case{"lagrangian", "emulated:in=2GB/s,out=2GB/s", MiB(3), "lagrangian"},
                      Case{"interval", "emulated:in=2GB/s,out=2GB/s", MiB(4), "interval"},
                      Case{"first_touch", "emulated:in=2GB/s,out=2GB/s", MiB(4), "first_touch"},
                      Case{"lru", "emulated:in=2GB/s,out=2GB/s", MiB(3), "lru"},
                      Case{"file", "file:/var/tmp", MiB(3), "lookahead"},
                      Case{"full_with_kernel_faults", "emulated:in=2GB/s,out=2GB/s", MiB(16), "lookahead", "on"},
                      Case{"fifth_with_kernel_faults", "emulated:in=2GB/s,out=2GB/s", MiB(3), "lookahead", "on"},
                      Case{"lru_with_kernel_faults", "emulated:in=2GB/s,out=2GB/s", MiB(3), "lru", "on"},
                      Case{"file_with_kernel_faults", "file:/var/tmp", MiB(3), "lookahead", "on"}),
    [](const auto& test) { return std::string(test.param.name); });

// A plan for so few frames is made where the budget is lowered. Each loop needs more of them together than the plan
// grants it, and must get them all the same.
TEST(BitIdentityOfBudgets, HoldsWhereTheBudgetIsLoweredToFourFrames) {
  auto runtime = runtime::Runtime::Create(SmallSettings("emulated:in=2GB/s,out=2GB/s", MiB(3), "lookahead"));
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  NetworkHooks hooks = On(**runtime);
  int begun = 0;
  hooks.begin_step = [&, begin = hooks.begin_step] {
    const bool lower = ++begun == 4;
    EXPECT_TRUE(!lower || (*runtime)->SetBudget(KiB(256)).ok());
    begin();
  };
  const std::vector<int> scales(7, 1);
  EXPECT_EQ(Losses(std::move(hooks), scales), Losses(OnMalloc(), scales));
  EXPECT_EQ((*runtime)->Stats().profiles, 2);
}

TEST(BitIdentityOfShapes, HoldsWhenShapesAlternate) {
  // Batches of two sizes: the last of an epoch is smaller.
  const std::vector<int> scales = {2, 2, 2, 2, 1, 2, 2, 2, 1, 1, 2, 1, 2, 2, 1, 2};
  auto runtime = runtime::Runtime::Create(SmallSettings("emulated:in=2GB/s,out=2GB/s", MiB(6), "lookahead"));
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  EXPECT_EQ(Losses(On(**runtime), scales), Losses(OnMalloc(), scales));
}

}  // namespace
}  // namespace thermocline

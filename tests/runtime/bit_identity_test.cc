// A network's losses are the same to the last bit with and without placement, at every budget, with every planner.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "src/runtime/runtime.h"
#include "tests/runtime/small_network.h"

namespace thermocline {
namespace {

constexpr int kLayers = 12;
constexpr int64_t kWidth = 96 * 1024;  // floats: 384 KiB a tensor, about 10 MiB at the peak
constexpr int kSteps = 10;

runtime::Settings SmallSettings(const std::string& slow, Bytes fast, const std::string& planner) {
  runtime::RawSettings raw;
  raw.fast = std::to_string(fast.count());
  raw.slow = slow;
  raw.planner = planner;
  raw.granule_bytes = KiB(64).count();
  return *ReadSettings(raw, [](const char*) { return std::nullopt; });
}

NetworkHooks On(runtime::Runtime& runtime) {
  NetworkHooks hooks;
  hooks.allocate = [&](size_t bytes) { return runtime.Allocate(Bytes(static_cast<int64_t>(bytes)), Bytes(64)); };
  hooks.free = [&](void* pointer) { EXPECT_TRUE(runtime.Free(pointer)); };
  hooks.begin_step = [&] { EXPECT_TRUE(runtime.BeginStep().ok()); };
  hooks.add_layer = [&] { EXPECT_TRUE(runtime.AddLayer("").ok()); };
  hooks.end_step = [&] { EXPECT_TRUE(runtime.EndStep().ok()); };
  return hooks;
}

NetworkHooks OnMalloc() { return {[](size_t bytes) { return std::malloc(bytes); }, [](void* pointer) { std::free(pointer); }}; }

std::vector<double> Losses(NetworkHooks hooks, const std::vector<int>& scales) {
  SmallNetwork network(std::move(hooks), kLayers, kWidth);
  std::vector<double> losses;
  for (size_t step = 0; step < scales.size(); ++step) losses.push_back(network.Step(static_cast<int>(step), scales[step]));
  return losses;
}

struct Case {
  const char* name;
  const char* slow;
  Bytes fast;
  const char* planner;
};

class BitIdentity : public ::testing::TestWithParam<Case> {};

TEST_P(BitIdentity, LossesAreThoseOfMalloc) {
  const std::vector<int> scales(kSteps, 1);
  const Case& c = GetParam();
  auto runtime = runtime::Runtime::Create(SmallSettings(c.slow, c.fast, c.planner));
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
                      Case{"interval", "emulated:in=2GB/s,out=2GB/s", MiB(4), "interval"},
                      Case{"first_touch", "emulated:in=2GB/s,out=2GB/s", MiB(4), "first_touch"},
                      Case{"lru", "emulated:in=2GB/s,out=2GB/s", MiB(3), "lru"},
                      Case{"file", "file:/var/tmp", MiB(3), "lookahead"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(BitIdentityOfShapes, HoldsWhenShapesAlternate) {
  // Batches of two sizes: the last of an epoch is smaller.
  const std::vector<int> scales = {2, 2, 2, 2, 1, 2, 2, 2, 1, 1, 2, 1, 2, 2, 1, 2};
  auto runtime = runtime::Runtime::Create(SmallSettings("emulated:in=2GB/s,out=2GB/s", MiB(6), "lookahead"));
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  EXPECT_EQ(Losses(On(**runtime), scales), Losses(OnMalloc(), scales));
}

}  // namespace
}  // namespace thermocline

// Saving and loading a checkpoint whose tensors are several times the fast budget. Through streams in memory: a file
// stream hands tensors to the kernel, which can't wait for them in a linked program (docs/troubleshooting.md).
#include <gtest/gtest.h>
#include <thermocline/torch.h>
#include <torch/serialize.h>
#include <torch/types.h>

#include <sstream>
#include <vector>

namespace thermocline {
namespace {

constexpr int kTensors = 10;
constexpr int64_t kFloats = 2 << 20;  // 8 MiB each

at::Tensor Pattern(int seed) { return ::torch::arange(seed, seed + kFloats, ::torch::kFloat32); }

TEST(Checkpoint, IsSavedAndLoadedWithinTheBudget) {
  Status why;
  Runtime* const runtime = Runtime::Create({.fast = "16MiB", .slow = "file:/var/tmp"}, &why).release();
  ASSERT_NE(runtime, nullptr) << why.message();
  torch::InstallAllocator(runtime);
  std::vector<at::Tensor> saved;
  for (int i = 0; i < kTensors; ++i) saved.push_back(Pattern(i));
  std::stringstream stream;
  ::torch::save(saved, stream);
  std::vector<at::Tensor> loaded;
  ::torch::load(loaded, stream);
  ASSERT_EQ(loaded.size(), saved.size());
  for (int i = 0; i < kTensors; ++i) EXPECT_TRUE(loaded[i].equal(Pattern(i))) << i;
  const tc_stats stats = runtime->Stats();
  EXPECT_GT(stats.peak_live_bytes, 4 * stats.fast_budget_bytes);
  EXPECT_LE(stats.peak_fast_bytes, stats.fast_budget_bytes);
}

}  // namespace
}  // namespace thermocline

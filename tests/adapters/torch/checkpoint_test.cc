// Saving and loading a checkpoint whose tensors are several times the fast budget: through streams in memory, and
// through a file, where tensors are handed to the kernel, which can't wait for them (THERMOCLINE_KERNEL_FAULTS=off).
#include <gtest/gtest.h>
#include <thermocline/torch.h>
#include <torch/serialize.h>
#include <torch/types.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

namespace thermocline {
namespace {

constexpr int kTensors = 10;
constexpr int64_t kFloats = 2 << 20;  // 8 MiB each

at::Tensor Pattern(int seed) { return ::torch::arange(seed, seed + kFloats, ::torch::kFloat32); }

class Checkpoint : public ::testing::Test {
 protected:
  // One for all tests: libtorch takes no second.
  static void SetUpTestSuite() {
    setenv("THERMOCLINE_KERNEL_FAULTS", "off", 1);
    setenv("THERMOCLINE_LINK", "in=1GB/s,out=1GB/s", 1);  // known, so that the start needs no measurement
    Status why;
    runtime_ = Runtime::Create({.fast = "16MiB", .slow = "file:/var/tmp"}, &why).release();
    ASSERT_NE(runtime_, nullptr) << why.message();
    torch::InstallAllocator(runtime_);
  }

  static std::vector<at::Tensor> Tensors() {
    std::vector<at::Tensor> tensors;
    for (int i = 0; i < kTensors; ++i) tensors.push_back(Pattern(i));
    return tensors;
  }

  static void ExpectAll(const std::vector<at::Tensor>& loaded) {
    ASSERT_EQ(loaded.size(), kTensors);
    for (int i = 0; i < kTensors; ++i) EXPECT_TRUE(loaded[i].equal(Pattern(i))) << i;
    const tc_stats stats = runtime_->Stats();
    EXPECT_GT(stats.peak_live_bytes, 4 * stats.fast_budget_bytes);
    EXPECT_LE(stats.peak_fast_bytes, stats.fast_budget_bytes);
  }

  static Runtime* runtime_;
};

Runtime* Checkpoint::runtime_ = nullptr;

TEST_F(Checkpoint, IsSavedToAStreamAndLoadedWithinTheBudget) {
  std::stringstream stream;
  ::torch::save(Tensors(), stream);
  std::vector<at::Tensor> loaded;
  ::torch::load(loaded, stream);
  ExpectAll(loaded);
}

TEST_F(Checkpoint, IsSavedToAFileAndLoadedWithinTheBudget) {
  const std::string path = ::testing::TempDir() + "checkpoint_test_" + std::to_string(getpid()) + ".pt";
  {
    const std::vector<at::Tensor> saved = Tensors();
    ::torch::save(saved, path);
  }
  std::vector<at::Tensor> loaded;
  ::torch::load(loaded, path);
  std::filesystem::remove(path);
  ExpectAll(loaded);
}

}  // namespace
}  // namespace thermocline

// Trains the demo's network, made small, on libtorch's own allocator and on the library's, and compares every loss.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace thermocline {
namespace {

struct Training {
  std::vector<std::string> losses;  // as hexadecimal floats
  int64_t peak_bytes = 0;
  int64_t peak_fast_bytes = 0;
  int64_t bytes_out = 0;
};

Training Train(const std::string& flags) {
  const std::string path = ::testing::TempDir() + "training_test." + std::to_string(getpid()) + ".json";
  const std::string command = std::string(THERMOCLINE_DEMO) + " --width 16 --blocks 2 --batch 64 --steps 5 --json " +
                              path + " " + flags + " 2>/dev/null";
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  std::ifstream file(path);
  const nlohmann::json run = nlohmann::json::parse(file);
  unlink(path.c_str());
  Training training;
  training.peak_bytes = run.at("peak_bytes");
  if (run.contains("runtime")) training.peak_fast_bytes = run["runtime"].at("peak_fast_bytes");
  for (const auto& step : run.at("steps")) {
    training.losses.push_back(step.at("loss_hex"));
    training.bytes_out += step.at("bytes_out").get<int64_t>();
  }
  return training;
}

const Training& Stock() {
  static const auto* const training = new Training(Train("--allocator stock"));
  return *training;
}

// Half of what the tensors need: so much must move.
int64_t Half() { return Stock().peak_bytes / 2; }

// Trained once for all tests: a step takes a second on the slowest PyTorch.
const Training& Placed(const std::string& planner) {
  static auto* const trained = new std::map<std::string, Training>;
  Training& training = (*trained)[planner];
  if (training.losses.empty()) {
    training = Train("--allocator thermocline --planner " + planner + " --fast " + std::to_string(Half()));
  }
  return training;
}

class LibtorchTraining : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (access("/usr/share/datasets/fashion-mnist", F_OK) != 0) {
      GTEST_SKIP() << "needs the Debian package dataset-fashion-mnist (scripts/deps demo)";
    }
  }
};

TEST_P(LibtorchTraining, HasTheStockAllocatorsLossesToTheLastBit) {
  const Training& training = Placed(GetParam());
  EXPECT_EQ(training.losses, Stock().losses);
  EXPECT_GT(training.bytes_out, 0) << "nothing moved, so nothing was tested";
}

TEST_P(LibtorchTraining, StaysWithinItsBudget) {
  const Training& training = Placed(GetParam());
  EXPECT_GT(training.peak_fast_bytes, 0);
  EXPECT_LE(training.peak_fast_bytes, Half());
}

INSTANTIATE_TEST_SUITE_P(EveryPlanner, LibtorchTraining,
                         ::testing::Values("lookahead", "lagrangian", "interval", "first_touch", "lru"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace thermocline

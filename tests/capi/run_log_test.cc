// The log of a run through the C API: what ran, by which plans, and when each move was asked for, begun and over.
#include "src/report/run_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/runtime/settings.h"
#include "tests/capi/network_on_capi.h"
#include "tests/tier/faulty_file_system.h"

namespace thermocline {
namespace {

report::RunLog LogOf(const std::string& fast, const std::string& slow, const std::string& planner = "") {
  auto runtime = SmallRuntime(fast, slow, planner);
  Losses(On(*runtime), 10);
  const std::string path = absl::StrCat(::testing::TempDir(), "/run_log_", getpid(), ".json");
  EXPECT_TRUE(runtime->SaveRunLog(path).ok());
  const auto log = report::ReadRunLog(path);
  EXPECT_TRUE(log.ok()) << log.status();
  unlink(path.c_str());
  return *log;
}

TEST(RunLogOfARun, SaysWhenEachMoveWasAskedForAndWhenItBegan) {
  const report::RunLog log = LogOf("2MiB", "emulated:in=500MB/s,out=500MB/s");
  const auto& moves = log.recorded.migrations;
  ASSERT_GT(moves.size(), 20);
  for (const report::Migration& move : moves) {
    EXPECT_LE(move.issued, move.start);
    EXPECT_LE(move.start, move.end);
    const auto layer = static_cast<size_t>(move.layer.value());
    ASSERT_LT(layer, log.recorded.layers.size());
    EXPECT_GE(std::max(move.issued, 0.0), log.recorded.layers[layer].start);
    const bool last = layer + 1 == log.recorded.layers.size();
    EXPECT_TRUE(last || move.issued < log.recorded.layers[layer + 1].start);
  }
  // The link is the bottleneck: many planned moves wait for their turn, far longer than a call takes.
  const auto waits = [](const report::Migration& move) { return !move.demand && move.start - move.issued > 100e-6; };
  EXPECT_GT(std::count_if(moves.begin(), moves.end(), waits), std::ssize(moves) / 16);
}

TEST(RunLogOfARun, SaysOfEachLayerHowLongItWaited) {
  // Too slow a link to hide what moves.
  const report::RunLog log = LogOf("2MiB", "emulated:in=300MB/s,out=300MB/s");
  ASSERT_GE(log.recorded.index, 0);
  const report::RunStep& step = log.steps.at(log.recorded.index);
  double exposed = 0;
  for (const report::RunLayer& layer : log.recorded.layers) {
    EXPECT_GE(layer.exposed_seconds, 0);
    EXPECT_LE(layer.exposed_seconds, layer.end - layer.start);
    exposed += layer.exposed_seconds;
  }
  EXPECT_GT(exposed, 0);
  EXPECT_NEAR(exposed, step.exposed_seconds, 0.01 * step.exposed_seconds);
}

TEST(RunLogOfARun, NamesTheModelByTheEnvironmentElseByTheProgram) {
  EXPECT_EQ(LogOf("6MiB", kEmulated).model, "run_log_capi_test");
  setenv("THERMOCLINE_MODEL", "resnet-32 x4", 1);
  EXPECT_EQ(LogOf("6MiB", kEmulated).model, "resnet-32 x4");
  unsetenv("THERMOCLINE_MODEL");
}

TEST(RunLogOfARun, SaysOfEachStepWhichPlanItRanBy) {
  const report::RunLog log = LogOf("2MiB", kEmulated, "interval");
  ASSERT_EQ(log.steps.size(), 10);
  EXPECT_EQ(log.steps[0].planner, "");
  EXPECT_EQ(log.steps[1].planner, "");
  EXPECT_EQ(log.steps[5].planner, "interval");
  EXPECT_EQ(log.steps[7].planner, "interval, in place");
}

TEST(RunLogOfARun, SetsWhatThePlanPredictedBesideWhatHappened) {
  const report::RunLog log = LogOf("2MiB", "emulated:in=500MB/s,out=500MB/s");
  ASSERT_EQ(log.steps.size(), 10);
  EXPECT_EQ(log.steps[0].predicted_seconds, 0) << "by demand";
  for (int step = 2; step < 10; ++step) {
    EXPECT_GT(log.steps[step].predicted_seconds, 0) << step;
    EXPECT_GE(log.steps[step].predicted_seconds, log.steps[step].predicted_exposed_seconds) << step;
  }
  const auto& layers = log.recorded.layers;
  ASSERT_GT(layers.size(), 12);
  double predicted = 0;
  for (const report::RunLayer& layer : layers) {
    EXPECT_GE(layer.predicted_exposed_seconds, 0) << layer.name;
    predicted += layer.predicted_exposed_seconds;
  }
  const double of_the_step = log.steps[static_cast<size_t>(log.recorded.index)].predicted_exposed_seconds;
  EXPECT_GT(of_the_step, 0) << "the link is half of what it needs";
  EXPECT_NEAR(predicted, of_the_step, 0.01 * of_the_step);
}

TEST(RunLogOfARun, SaysWhatADiskIsWrittenToInADay) {
  const report::RunLog log = LogOf("2MiB", "file:" + tier::SlowTestDirectory());
  Bytes of_the_steps;
  for (const report::RunStep& step : log.steps) of_the_steps += step.bytes_out;
  ASSERT_GT(of_the_steps, Bytes(0));
  EXPECT_GE(log.written_today, of_the_steps);
  EXPECT_GE(log.written_per_day, log.written_today) << "the run took less than a day";
  const report::RunLog emulated = LogOf("2MiB", kEmulated);
  EXPECT_EQ(emulated.written_today + emulated.written_per_day, Bytes(0)) << "memory does not wear";
}

TEST(ProgramName, IsThatOfTheFileOrOfThePythonScript) {
  EXPECT_EQ(runtime::ProgramName({"/usr/bin/train", "--epochs", "3"}), "train");
  EXPECT_EQ(runtime::ProgramName({"/usr/bin/python3", "-u", "nets/train.py", "--model", "b.py"}), "train.py");
  EXPECT_EQ(runtime::ProgramName({"python3.11", "-m", "torch.distributed"}), "python3.11");
  EXPECT_EQ(runtime::ProgramName({}), "");
}

}  // namespace
}  // namespace thermocline

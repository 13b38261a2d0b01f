#include "src/report/run_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "src/report/chrome_trace.h"
#include "src/report/lanes.h"
#include "tests/report/sample_log.h"

namespace thermocline::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Text() { return *FormatRunLog(SampleLog("r")); }

std::string ErrorAfter(absl::string_view from, absl::string_view to) {
  const std::string text = absl::StrReplaceAll(Text(), {{from, to}});
  EXPECT_NE(text, Text()) << "nothing was replaced";
  const auto log = ParseRunLog(text, "run.json");
  EXPECT_FALSE(log.ok()) << to;
  return std::string(log.status().message());
}

TEST(RunLog, ComesBackFromItsFileAsItWas) {
  RunLog log = SampleLog("thermocline-20");
  log.extras = {{"losses", "[2.30, 2.25]"}};
  const std::string path = absl::StrCat(::testing::TempDir(), "/run_", getpid(), ".json.gz");
  ASSERT_TRUE(WriteRunLog(path, log).ok());
  const auto read = ReadRunLog(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, log);
  unlink(path.c_str());
}

TEST(RunLog, IsCalledLikeItsFileWhenItHasNoName) {
  RunLog log = SampleLog("");
  const std::string name = absl::StrCat("unnamed_", getpid());
  const std::string path = absl::StrCat(::testing::TempDir(), "/", name, ".json.zst");
  ASSERT_TRUE(WriteRunLog(path, log).ok());
  EXPECT_EQ(ReadRunLog(path)->name, name);
  unlink(path.c_str());
}

TEST(RunLog, RefusesWrongMembersWithLineAndReason) {
  EXPECT_THAT(ErrorAfter("\"run_log_version\":1", "\"run_log_version\":2"), HasSubstr("run.json:1:"));
  EXPECT_THAT(ErrorAfter("\"run_log_version\":1,", ""), HasSubstr("has no \"run_log_version\""));
  EXPECT_THAT(ErrorAfter("\"seconds\":9.0", "\"seconds\":-9.0"), HasSubstr("step 0 has -9.0"));
  EXPECT_THAT(ErrorAfter("\"direction\":\"out\"", "\"direction\":\"up\""),
              HasSubstr("migration 0 has a \"direction\""));
  EXPECT_THAT(ErrorAfter("\"granule\":40", "\"granule\":4294967296"), HasSubstr("migration 0 has 4294967296"));
  EXPECT_THAT(ErrorAfter("\"start\":0.0,\"end\":0.7", "\"start\":1.0,\"end\":0.7"), HasSubstr("ends before it starts"));
}

TEST(RunLog, KeepsAMoveThatWasOnItsWayWhenTheStepBegan) {
  RunLog log = SampleLog("r");
  log.recorded.migrations[0].issued = -0.3;
  log.recorded.migrations[0].start = -0.2;
  const auto read = ParseRunLog(*FormatRunLog(log), "run.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->recorded.migrations[0].start, -0.2);
}

TEST(RunLog, IsNotWrittenWithATimeThatIsNoNumber) {
  RunLog log = SampleLog("r");
  log.recorded.migrations[0].end = std::nan("");
  EXPECT_FALSE(FormatRunLog(log).ok());
}

TEST(RunLog, SummaryIsTheMedianWithoutTheProfiledStep) {
  const StepSummary summary = Summarize(SampleLog("r"));
  EXPECT_DOUBLE_EQ(summary.seconds, 2.2);
  EXPECT_DOUBLE_EQ(summary.exposed_seconds, 0.02);
  EXPECT_EQ(summary.bytes_in, MiB(10));
  EXPECT_EQ(Summarize(RunLog()).seconds, 0);
}

TEST(RunLog, ComparesPredictionsWithTheStepsThatHaveOne) {
  const PredictionSummary summary = SummarizePredictions(SampleLog("r"));
  EXPECT_EQ(summary.steps, 2);
  EXPECT_DOUBLE_EQ(summary.seconds, 2.25);
  EXPECT_DOUBLE_EQ(summary.exposed_seconds, 0.025);
  EXPECT_DOUBLE_EQ(summary.predicted_seconds, 2.05);
  EXPECT_DOUBLE_EQ(summary.predicted_exposed_seconds, 0.005);
  EXPECT_EQ(SummarizePredictions(RunLog()).steps, 0);
}

TEST(Lanes, BarsThatOverlapLieInDifferentLanesAndLanesAreReused) {
  const auto move = [](tier::Direction direction, double start, double end) {
    Migration m;
    m.direction = direction;
    m.start = start;
    m.end = end;
    return m;
  };
  using tier::Direction;
  const Lanes lanes = AssignLanes({move(Direction::kIn, 0, 2), move(Direction::kIn, 1, 3), move(Direction::kOut, 1, 2),
                                   move(Direction::kIn, 2, 4), move(Direction::kIn, 2.5, 5)});
  EXPECT_THAT(lanes.lane, ElementsAre(0, 1, 0, 0, 2));
  EXPECT_EQ(lanes.in, 3);
  EXPECT_EQ(lanes.out, 1);
}

TEST(ChromeTrace, HasLayersMigrationsAndCountersInMicroseconds) {
  const std::vector<RunLog> logs = {SampleLog("a"), SampleLog("b")};
  const nlohmann::json trace = nlohmann::json::parse(FormatChromeTrace(logs));
  int layers = 0, moves = 0, counters = 0;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "C") ++counters;
    if (event["ph"] != "X") continue;
    EXPECT_GE(event["dur"], 0);
    event["tid"] == 1 ? ++layers : ++moves;
    if (event["tid"] == 1 && event["name"] == "conv2") {
      EXPECT_NEAR(event["ts"], 1.4e6, 1);
    }
  }
  EXPECT_EQ(layers, 6);
  EXPECT_EQ(moves, 12);
  EXPECT_EQ(counters, 6);
}

}  // namespace
}  // namespace thermocline::report

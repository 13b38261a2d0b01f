// The demo's result.json: what examples/demo writes is what docs/formats.md promises. And its table on a terminal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "examples/demo/table_report.h"

namespace thermocline::demo {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// Every row of the whole demo, the last of them skipped.
TableResult WholeDemo() {
  TableResult result;
  result.peak_bytes = 1000;
  result.disk = {2e9, 1e9};
  for (const RowSpec& spec : Rows()) {
    RowResult row;
    row.spec = spec;
    row.seconds = {0.5, 0.25, 0.75};
    row.losses = {2.5, 1.25f / 3};
    row.bytes_in = 12;
    row.bytes_out = 10;
    row.exposed_seconds = 0.125;
    row.outside_peak_bytes = 700;
    row.summary = json::object();
    result.rows.push_back(row);
  }
  result.rows.back().skipped = "needs root";
  return result;
}

// The document as a reader gets it.
json Written(const TableResult& result) { return json::parse(ToJson(result).dump(1)); }

std::string LossText(float loss) {
  TableResult result;
  result.rows.resize(1);
  result.rows[0].losses = {loss};
  result.rows[0].summary = json::object();
  return Written(result)["runs"][0]["losses"][0].dump();
}

TEST(DemoResult, HasTheRunsOfEveryRowByName) {
  std::vector<std::string> names;
  const json result = Written(WholeDemo());
  for (const json& run : result["runs"]) names.push_back(run["name"]);
  EXPECT_THAT(names, ElementsAre("glibc", "tcmalloc", "jemalloc", "mimalloc", "thermocline-100", "thermocline-50",
                                 "thermocline-20", "lru-20"));
  ASSERT_EQ(result["skipped"].size(), 1);
  EXPECT_EQ(result["skipped"][0]["name"], "swap-20");
  EXPECT_EQ(result["skipped"][0]["reason"], "needs root");
}

TEST(DemoResult, HasWhatIsKnownOfTheNetworkAndTheMachine) {
  const json result = Written(WholeDemo());
  EXPECT_TRUE(result["model"].is_string());
  EXPECT_EQ(result["peak_bytes"], 1000);
  EXPECT_EQ(result["machine"]["slow_in_bytes_per_second"], 2e9);
  EXPECT_EQ(result["machine"]["slow_out_bytes_per_second"], 1e9);
}

TEST(DemoResult, OfARunHasTimesBytesAndLosses) {
  const json written = Written(WholeDemo());
  const json run = written["runs"][6];
  EXPECT_EQ(run["seconds_per_step_median"], 0.5);
  EXPECT_THAT(run["seconds_per_step"], ElementsAre(0.5, 0.25, 0.75));
  EXPECT_EQ(run["peak_fast_bytes"], 700);
  EXPECT_EQ(run["bytes_in_per_step"], 12);
  EXPECT_EQ(run["bytes_out_per_step"], 10);
  EXPECT_EQ(run["exposed_seconds_per_step"], 0.125);
  EXPECT_EQ(run["losses"].size(), 2);
}

TEST(DemoResult, EqualTextOfALossIsEqualBits) {
  std::mt19937 random(1);
  for (int i = 0; i < 2'000; ++i) {
    const float loss = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isfinite(loss)) continue;
    const float next = std::nextafter(loss, std::numeric_limits<float>::infinity());
    const std::string text = LossText(loss);
    const auto read = static_cast<float>(json::parse(text).get<double>());
    EXPECT_EQ(std::bit_cast<uint32_t>(read), std::bit_cast<uint32_t>(loss)) << text;
    if (std::isfinite(next)) {
      EXPECT_NE(text, LossText(next)) << loss;
    }
  }
  EXPECT_NE(LossText(0.0f), LossText(-0.0f));
}

// The line of the table that begins with `name`.
std::string Line(const std::string& table, const std::string& name) {
  const size_t begin = ("\n" + table).find("\n" + name);
  return begin == std::string::npos ? "" : table.substr(begin, table.find('\n', begin) - begin);
}

TEST(DemoTable, HasALineForEveryRowWithEveryColumn) {
  TableResult result = WholeDemo();
  result.base_bytes = 100;
  const std::string table = FormatTable(result);
  for (const RowSpec& spec : Rows()) EXPECT_NE(Line(table, spec.name), "") << spec.name;
  for (const char* column : {"s/step", "spread", "peak fast", "in", "out", "exposed", "losses"}) {
    EXPECT_THAT(Line(table, std::string(16, ' ')), HasSubstr(column));
  }
  result.rows[6].outside_peak_bytes = 1'800'100;
  result.rows[6].bytes_in = 12e6;
  result.rows[6].bytes_out = 10e6;
  EXPECT_THAT(Line(FormatTable(result), "thermocline-20"),
              MatchesRegex("thermocline-20 +0.500 +0.250 - 0.750 +1.8 +12.0 +10.0 +0.125 +equal"));
}

TEST(DemoTable, SaysWhatWasLeftOutAndWhatWentWrong) {
  TableResult result = WholeDemo();
  EXPECT_EQ(Line(FormatTable(result), "swap-20"), "swap-20 skipped: needs root");
  result.rows.back().failed = true;
  EXPECT_EQ(Line(FormatTable(result), "swap-20"), "swap-20 FAILED: needs root");
  result.rows[6].losses[1] = std::nextafter(result.rows[6].losses[1], 1.0);
  EXPECT_THAT(Line(FormatTable(result), "thermocline-20"), HasSubstr("DIFFER"));
}

// Thermocline's rows have their budget and what a process needs besides; swap's limit is the kernel's.
TEST(DemoResult, ARowOverItsBudgetIsToldAndIsNotWell) {
  TableResult result = WholeDemo();
  result.options.slow = "file:/var/tmp";
  result.base_bytes = 500;
  result.rows[6].budget_bytes = 200;
  result.rows[6].outside_peak_bytes = 707;
  EXPECT_TRUE(AllWell(result));
  EXPECT_EQ(Written(result)["runs"][6]["within_budget"], true);
  result.rows[6].outside_peak_bytes = 708;
  EXPECT_FALSE(AllWell(result));
  EXPECT_EQ(Written(result)["runs"][6]["within_budget"], false);
  EXPECT_THAT(Line(FormatTable(result), "thermocline-20"), HasSubstr("equal, OVER ITS BUDGET"));
  EXPECT_THAT(Line(FormatTable(result), "thermocline-50"), Not(HasSubstr("OVER")));
  result.options.slow = "emulated:in=1GB/s,out=1GB/s";
  EXPECT_TRUE(AllWell(result)) << "that tier is memory of the process";
}

TEST(DemoResult, SaysHowManyTurnsWereTaken) {
  TableResult result = WholeDemo();
  result.options.turns = result.turns_taken = 2;
  EXPECT_THAT(FormatTable(result), Not(HasSubstr("turns")));
  result.turns_taken = 1;
  EXPECT_THAT(FormatTable(result),
              HasSubstr("Rows took 1 of 2 turns: more would have taken longer than 330 s in all.\n"));
  EXPECT_EQ(Written(result)["steps"]["turns"], 1);
  EXPECT_EQ(Written(result)["steps"]["turns_wanted"], 2);
}

TEST(DemoResult, SaysWhichLossesDifferFromTheStockRuns) {
  TableResult result = WholeDemo();
  EXPECT_TRUE(AllWell(result));
  result.rows[6].losses[1] = std::nextafter(result.rows[6].losses[1], 1.0);
  const json written = Written(result);
  EXPECT_EQ(written["runs"][6]["losses_equal"], false);
  EXPECT_EQ(written["runs"][5]["losses_equal"], true);
  EXPECT_FALSE(AllWell(result));
}

}  // namespace
}  // namespace thermocline::demo

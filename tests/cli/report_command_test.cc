#include "nlohmann/json.hpp"
#include "tests/cli/cli_fixture.h"

namespace thermocline::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

using ReportCommand = Cli;

constexpr char kRun[] = R"({"run_log_version":1,"name":"r","steps":[{"seconds":2}],
  "recorded_step":{"index":0,"layers":[{"name":"l","start":0,"end":2}],"migrations":[]}})";

TEST_F(ReportCommand, WritesOnePageAndAPerfettoTrace) {
  const std::string run = Write("run.json", kRun);
  const SubprocessResult result =
      Thermocline({"report", run, run, "-o", Path("report.html"), "--trace", Path("trace.json")});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(Read(Path("report.html")), StartsWith("<!DOCTYPE html>"));
  EXPECT_TRUE(nlohmann::json::parse(Read(Path("trace.json"))).contains("traceEvents"));
}

TEST_F(ReportCommand, SetsWhatThePlanPredictedBesideWhatHappened) {
  const std::string run = Write("planned.json",
                                "{\"run_log_version\":1,\"name\":\"planned\",\"steps\":[{\"seconds\":9},"
                                "{\"seconds\":2.5,\"exposed_seconds\":0.5,\"planner\":\"lookahead\","
                                "\"predicted_seconds\":2.25,\"predicted_exposed_seconds\":0.25}]}");
  const SubprocessResult result = Thermocline({"report", run, "-o", Path("report.html")});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("planned: 2.5 s a step by plan, 500 ms of it exposed; predicted 2.25 s and 250 ms "
                                    "(medians of 1 steps)"));
}

TEST_F(ReportCommand, SaysWhatIsWrongAndLeavesNoPage) {
  const std::string bad = Write("bad.json", "{\"run_log_version\":1,\n\"steps\":[{}]}");
  const SubprocessResult result = Thermocline({"report", bad, "-o", Path("report.html")});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("bad.json:2:10: step 0 has no \"seconds\""));
  EXPECT_FALSE(std::filesystem::exists(Path("report.html")));
  EXPECT_EQ(Thermocline({"report", Write("run.json", kRun)}).exit_status, 2) << "nothing to write";
  const SubprocessResult unwritable = Thermocline({"report", Write("run.json", kRun), "-o", Path("no/such/dir.html")});
  EXPECT_EQ(unwritable.exit_status, 1);
  EXPECT_THAT(unwritable.err, HasSubstr("check that its directory exists"));
}

}  // namespace
}  // namespace thermocline::testing

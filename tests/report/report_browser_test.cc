#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "src/report/html_report.h"
#include "tests/cli/subprocess.h"
#include "tests/report/sample_log.h"

namespace thermocline::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ReportInABrowser : public ::testing::Test {
 protected:
  ReportInABrowser()
      : folder_(std::filesystem::path(::testing::TempDir()) / ("report_browser_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~ReportInABrowser() override { std::filesystem::remove_all(folder_); }

  // The page as it is after its script ran.
  std::string Opened(const std::vector<RunLog>& logs) {
    const std::string page = (folder_ / "report.html").string();
    std::ofstream(page) << FormatHtmlReport(logs);
    const testing::SubprocessResult result = testing::RunProgram(
        {THERMOCLINE_CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--user-data-dir=" + (folder_ / "profile").string(), "--dump-dom", "file://" + page});
    EXPECT_EQ(result.exit_status, 0) << result.err;
    // Without the data and the scripts: what is left is what the page shows.
    std::string dom = result.out;
    for (size_t from = dom.find("<script"); from != std::string::npos; from = dom.find("<script")) {
      dom.erase(from, dom.find("</script>", from) + 9 - from);
    }
    return dom;
  }

  std::filesystem::path folder_;
};

TEST_F(ReportInABrowser, DrawsItsChartsAndTables) {
  const std::string dom = Opened({SampleLog("baseline"), SampleLog("thermocline-20")});
  EXPECT_THAT(dom, HasSubstr("data-ready=\"yes\""));
  EXPECT_THAT(dom, HasSubstr("id=\"failure\" hidden"));
  EXPECT_THAT(dom, HasSubstr("thermocline-20</td>"));
  EXPECT_THAT(dom, HasSubstr(">20.0 MiB</td>"));
  EXPECT_THAT(dom, HasSubstr("6 in all: 6.00 MiB in, 6.00 MiB out"));
  EXPECT_THAT(dom, HasSubstr("In all 20.0 ms of waiting for data or for frames; the plan predicted 5.00 ms."));
  EXPECT_THAT(dom, HasSubstr(">2.05 s</td>"));
}

TEST_F(ReportInABrowser, ShowsHostileNamesAsText) {
  const std::string dom = Opened({SampleLog(kHostileName)});
  EXPECT_THAT(dom, HasSubstr("data-ready=\"yes\""));
  EXPECT_THAT(dom, Not(HasSubstr("data-broken")));
  EXPECT_THAT(dom, Not(HasSubstr("<img")));
  EXPECT_THAT(dom, HasSubstr("&lt;img src=x"));
}

TEST_F(ReportInABrowser, OpensWithoutARecordedStepAndWithoutAnyRun) {
  RunLog log = SampleLog("glibc");
  log.recorded = RecordedStep();
  EXPECT_THAT(Opened({log}), HasSubstr("data-ready=\"yes\""));
  EXPECT_THAT(Opened({}), HasSubstr("id=\"failure\" hidden"));
}

}  // namespace
}  // namespace thermocline::report

#include "src/report/html_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "tests/report/sample_log.h"

namespace thermocline::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int Count(const std::string& text, const std::string& word) {
  int count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

std::string Data(const std::string& page) {
  const std::string open = "id=\"data\">";
  const size_t from = page.find(open) + open.size();
  return page.substr(from, page.find("</script>", from) - from);
}

TEST(HtmlReport, TextsOfTheLogNeitherEndTheScriptNorFillPlaceholders) {
  const std::vector<RunLog> logs = {SampleLog(kHostileName)};
  const std::string page = FormatHtmlReport(logs);
  EXPECT_EQ(Count(page, "</script>"), 3) << "the data, the chart library, the page's own script";
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  const nlohmann::json data = nlohmann::json::parse(Data(page));
  EXPECT_EQ(data[0]["name"], kHostileName);
  EXPECT_EQ(data[0]["recorded"]["layers"][1][0], kHostileName);
  EXPECT_EQ(data[0]["program"], "{{data}} {{page_js}}");
}

TEST(HtmlReport, LoadsNothingFromAnywhere) {
  const std::vector<RunLog> logs = {SampleLog("a")};
  const std::string page = FormatHtmlReport(logs);
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const char* word : {" src=\"http", " href=\"http", "<link", "@import"}) EXPECT_THAT(page, Not(HasSubstr(word)));
  EXPECT_THAT(page, HasSubstr("Chart.js"));
  EXPECT_THAT(page, Not(HasSubstr("{{css}}")));
}

TEST(HtmlReport, HoldsEveryRunEvenOneThatOnlyHasSteps) {
  RunLog baseline = SampleLog("glibc");
  baseline.recorded = RecordedStep();
  const std::vector<RunLog> logs = {baseline, SampleLog("thermocline-20")};
  const nlohmann::json data = nlohmann::json::parse(Data(FormatHtmlReport(logs)));
  ASSERT_EQ(data.size(), 2);
  EXPECT_TRUE(data[0]["recorded"].is_null());
  EXPECT_EQ(data[0]["steps"].size(), 4);
  EXPECT_EQ(data[1]["recorded"]["migrations"].size(), 6);
  EXPECT_DOUBLE_EQ(data[1]["predicted"], 2.05);
  EXPECT_DOUBLE_EQ(data[1]["steps"][3][7], 0.005);
  EXPECT_DOUBLE_EQ(data[1]["recorded"]["layers"][2][8], 0.005);
  EXPECT_DOUBLE_EQ(data[1]["seconds"], 2.2);
}

TEST(HtmlReport, SurvivesTextThatIsNotUtf8) {
  RunLog log = SampleLog("a");
  log.program = "\xff\xfe";
  const std::vector<RunLog> logs = {log};
  EXPECT_TRUE(nlohmann::json::accept(Data(FormatHtmlReport(logs))));
}

}  // namespace
}  // namespace thermocline::report

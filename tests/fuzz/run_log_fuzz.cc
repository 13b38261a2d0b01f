// Any bytes are a run log or are refused; one that is read can be written and reported, and is read back as it was.
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/report/chrome_trace.h"
#include "src/report/html_report.h"
#include "src/report/run_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thermocline;  // NOLINT: nothing else is here
  const auto log = report::ParseRunLog(absl::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  if (!log.ok()) {
    if (log.status().message().empty()) std::abort();
    return 0;
  }
  const auto written = report::FormatRunLog(*log);
  if (!written.ok()) std::abort();
  const auto again = report::ParseRunLog(*written, "again");
  if (!again.ok() || !(*again == *log)) std::abort();
  report::FormatHtmlReport(absl::MakeConstSpan(&*log, 1));
  report::FormatChromeTrace(absl::MakeConstSpan(&*log, 1));
  return 0;
}

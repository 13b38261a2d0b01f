// FormatHtmlReport: one self-contained page about one or several runs. It loads nothing from anywhere and opens from
// disk; its charts are drawn by Chart.js, which is built in.
//
// Thread safety: pure function. Every text of the log is data to the page, never markup or script.
#ifndef THERMOCLINE_REPORT_HTML_REPORT_H_
#define THERMOCLINE_REPORT_HTML_REPORT_H_

#include <string>

#include "absl/types/span.h"
#include "src/report/run_log.h"

namespace thermocline::report {

std::string FormatHtmlReport(absl::Span<const RunLog> logs);

}  // namespace thermocline::report

#endif  // THERMOCLINE_REPORT_HTML_REPORT_H_

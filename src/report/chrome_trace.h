// FormatChromeTrace: the recorded steps of runs as Chrome's trace event format, which ui.perfetto.dev and
// chrome://tracing open: layers, migrations in lanes, fast and slow bytes as counters.
//
// Thread safety: pure function. Times are microseconds from the step's start; each run is a process of its own.
#ifndef THERMOCLINE_REPORT_CHROME_TRACE_H_
#define THERMOCLINE_REPORT_CHROME_TRACE_H_

#include <string>

#include "absl/types/span.h"
#include "src/report/run_log.h"

namespace thermocline::report {

std::string FormatChromeTrace(absl::Span<const RunLog> logs);

}  // namespace thermocline::report

#endif  // THERMOCLINE_REPORT_CHROME_TRACE_H_

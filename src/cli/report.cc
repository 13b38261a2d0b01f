// thermocline report RUN... -o report.html [--trace out.json]

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/cli/command.h"
#include "src/cli/progress.h"
#include "src/cli/text_table.h"
#include "src/report/chrome_trace.h"
#include "src/report/html_report.h"
#include "src/report/run_log.h"

namespace thermocline::cli {
namespace {

struct Flags {
  std::vector<std::string> runs;
  std::string output;
  std::string trace;
};

// What the plans expected, and what happened; empty where no plan expected anything.
std::string PredictionWords(const report::RunLog& log) {
  const report::PredictionSummary summary = report::SummarizePredictions(log);
  if (summary.steps == 0) return "";
  return absl::StrCat(log.name, ": ", FormatSeconds(summary.seconds), " a step by plan, ",
                      FormatSeconds(summary.exposed_seconds), " of it exposed; predicted ",
                      FormatSeconds(summary.predicted_seconds), " and ",
                      FormatSeconds(summary.predicted_exposed_seconds), " (medians of ", summary.steps, " steps)");
}

template <typename Format>
absl::Status Write(const std::string& path, const std::vector<report::RunLog>& logs, Format format) {
  const Progress progress(absl::StrCat("writing ", path));
  return WriteFileAtomically(path, format(logs));
}

absl::Status Report(const Flags& flags) {
  if (flags.output.empty() && flags.trace.empty()) {
    return UsageError("nothing to write: give -o FILE for a page, or --trace FILE for Perfetto");
  }
  std::vector<report::RunLog> logs;
  for (const std::string& path : flags.runs) {
    absl::StatusOr<report::RunLog> log = [&path] {
      const Progress progress(absl::StrCat("reading ", path));
      return report::ReadRunLog(path);
    }();
    if (!log.ok()) return log.status();
    logs.push_back(*std::move(log));
    if (const std::string words = PredictionWords(logs.back()); !words.empty()) Warn(words);
  }
  if (!flags.trace.empty()) {
    if (absl::Status status = Write(flags.trace, logs, report::FormatChromeTrace); !status.ok()) return status;
    Warn(absl::StrCat("wrote ", flags.trace, "; open it in ui.perfetto.dev"));
  }
  if (flags.output.empty()) return absl::OkStatus();
  if (absl::Status status = Write(flags.output, logs, report::FormatHtmlReport); !status.ok()) return status;
  Warn(absl::StrCat("wrote ", flags.output, "; open it in a browser"));
  return absl::OkStatus();
}

}  // namespace

void RegisterReport(CLI::App& app) {
  CLI::App* const report = app.add_subcommand("report", "Turn run logs into a page that shows what moved when");
  const auto flags = std::make_shared<Flags>();
  report->add_option("RUN", flags->runs, "Run logs, as tc_save_run_log writes them; several are compared")->required();
  report->add_option("-o,--output", flags->output, "The page: one HTML file that needs nothing else");
  report->add_option("--trace", flags->trace, "The recorded steps for ui.perfetto.dev or chrome://tracing, as JSON");
  SetAction(report, [flags] { return Report(*flags); });
}

}  // namespace thermocline::cli

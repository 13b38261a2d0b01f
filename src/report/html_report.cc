#include "src/report/html_report.h"

#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "src/report/embedded_files.h"
#include "src/report/lanes.h"

namespace thermocline::report {
namespace {

using nlohmann::ordered_json;

// Rows of numbers rather than objects: there may be tens of thousands of migrations. page.js names the columns.
ordered_json RecordedToJson(const RecordedStep& step) {
  ordered_json layers = ordered_json::array();
  for (const RunLayer& layer : step.layers) {
    layers.push_back({layer.name, layer.start, layer.end, layer.exposed_seconds, layer.fast_bytes.count(),
                      layer.slow_bytes.count(), layer.bytes_in.count(), layer.bytes_out.count(),
                      layer.predicted_exposed_seconds});
  }
  const Lanes lanes = AssignLanes(step.migrations);
  ordered_json migrations = ordered_json::array();
  for (size_t i = 0; i < step.migrations.size(); ++i) {
    const Migration& move = step.migrations[i];
    migrations.push_back({move.granule.value(), move.direction == tier::Direction::kIn ? 1 : 0, move.issued, move.start,
                          move.end, move.layer.value(), move.bytes.count(), move.demand ? 1 : 0, lanes.lane[i]});
  }
  return {{"index", step.index},
          {"layers", std::move(layers)},
          {"migrations", std::move(migrations)},
          {"lanes_in", lanes.in},
          {"lanes_out", lanes.out}};
}

ordered_json RunToJson(const RunLog& log) {
  const StepSummary summary = Summarize(log);
  const PredictionSummary predictions = SummarizePredictions(log);
  ordered_json steps = ordered_json::array();
  for (const RunStep& step : log.steps) {
    steps.push_back({step.seconds, step.exposed_seconds, step.bytes_in.count(), step.bytes_out.count(),
                     step.demand_fetches, step.profiled ? 1 : 0, step.predicted_seconds,
                     step.predicted_exposed_seconds});
  }
  ordered_json tiers = ordered_json::array();
  for (const RunTier& tier : log.tiers) tiers.push_back({tier.name, tier.in.rate(), tier.out.rate()});
  return {{"name", log.name},
          {"program", log.program},
          {"model", log.model},
          {"planner", log.planner},
          {"budget", log.budget.count()},
          {"peak", log.peak_bytes.count()},
          {"peak_fast", log.peak_fast_bytes.count()},
          {"granule", log.granule_bytes.count()},
          {"tiers", std::move(tiers)},
          {"seconds", summary.seconds},
          {"exposed", summary.exposed_seconds},
          {"predicted", predictions.predicted_seconds},
          {"predicted_exposed", predictions.predicted_exposed_seconds},
          {"bytes_in", summary.bytes_in.count()},
          {"bytes_out", summary.bytes_out.count()},
          {"steps", std::move(steps)},
          {"recorded", log.recorded.index < 0 ? ordered_json() : RecordedToJson(log.recorded)}};
}

}  // namespace

std::string FormatHtmlReport(absl::Span<const RunLog> logs) {
  ordered_json runs = ordered_json::array();
  for (const RunLog& log : logs) runs.push_back(RunToJson(log));
  const std::string json = runs.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  // Inside a script element only "<" can end the data early; JSON may spell it otherwise.
  const std::string data = absl::StrReplaceAll(json, {{"<", "\\u003c"}});
  // In one pass, so that a name that looks like a placeholder stays what it is.
  return absl::StrReplaceAll(
      kPageHtml, {{"{{css}}", kPageCss}, {"{{chart_js}}", kChartJs}, {"{{page_js}}", kPageJs}, {"{{data}}", data}});
}

}  // namespace thermocline::report

// A run log whose texts try to break out of whatever they are put into.
#ifndef THERMOCLINE_TESTS_REPORT_SAMPLE_LOG_H_
#define THERMOCLINE_TESTS_REPORT_SAMPLE_LOG_H_

#include <string>

#include "src/report/run_log.h"

namespace thermocline::report {

inline constexpr char kHostileName[] =
    "</script><script>document.body.dataset.broken='yes'</script><img src=x "
    "onerror=\"document.body.dataset.broken='yes'\">";

inline RunLog SampleLog(const std::string& name) {
  RunLog log;
  log.name = name;
  log.program = "{{data}} {{page_js}}";
  log.model = "a \"net\" <b>& more</b>";
  log.planner = "lookahead";
  log.budget = MiB(20);
  log.peak_bytes = MiB(100);
  log.peak_fast_bytes = MiB(19);
  log.granule_bytes = MiB(2);
  log.written_today = MiB(70);
  log.written_per_day = GiB(3);
  log.tiers = {{"file:/var/tmp", BytesPerSecond(1.3e9), BytesPerSecond(1.1e9)}};
  for (int i = 0; i < 4; ++i) {
    RunStep step;
    step.seconds = i == 0 ? 9.0 : 2.0 + 0.1 * i;
    step.exposed_seconds = 0.01 * i;
    step.bytes_in = MiB(10);
    step.bytes_out = MiB(8);
    step.profiled = i == 0;
    if (i > 1) {
      step.predicted_seconds = 2.05;
      step.predicted_exposed_seconds = 0.005;
    }
    log.steps.push_back(step);
  }
  log.recorded.index = 2;
  for (int i = 0; i < 3; ++i) {
    RunLayer layer;
    layer.name = i == 1 ? kHostileName : "conv" + std::to_string(i);
    layer.start = 0.7 * i;
    layer.end = 0.7 * (i + 1);
    layer.exposed_seconds = i == 2 ? 0.02 : 0;
    layer.predicted_exposed_seconds = i == 2 ? 0.005 : i == 1 ? 0 : -1;
    layer.fast_bytes = MiB(10 + i);
    layer.slow_bytes = MiB(30 * i);
    log.recorded.layers.push_back(layer);
  }
  for (int i = 0; i < 6; ++i) {
    Migration move;
    move.granule = GranuleId(static_cast<uint32_t>(40 + i));
    move.direction = i < 3 ? tier::Direction::kOut : tier::Direction::kIn;
    move.issued = 0.1 * i;
    move.start = 0.1 * i + 0.02;
    move.end = move.start + 0.15;  // overlaps the next
    move.layer = LayerId(i / 2);
    move.bytes = MiB(2);
    move.demand = i == 5;
    log.recorded.migrations.push_back(move);
  }
  return log;
}

}  // namespace thermocline::report

#endif  // THERMOCLINE_TESTS_REPORT_SAMPLE_LOG_H_

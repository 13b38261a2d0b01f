// RunLog: what a run did, step by step, and one step of it layer by layer and move by move. `thermocline report` turns
// it into a page; docs/formats.md describes the file.
//
// Thread safety: pure functions and plain data. Ownership: by value.
// Errors: InvalidArgument "NAME:LINE:COLUMN: ..." for text that is no run log of version 1; file errors as in
// src/trace/compressed_file.h. Writing replaces the file as a whole or not at all.
#ifndef THERMOCLINE_REPORT_RUN_LOG_H_
#define THERMOCLINE_REPORT_RUN_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/units.h"
#include "src/tier/block_tier.h"
#include "src/trace/json_object_reader.h"

namespace thermocline::report {

// A slow tier of the run. Zero rates are unknown.
struct RunTier {
  std::string name;  // "file:/var/tmp (io_uring, O_DIRECT)"
  BytesPerSecond in;
  BytesPerSecond out;

  bool operator==(const RunTier&) const = default;
};

struct RunStep {
  double seconds = 0;
  double exposed_seconds = 0;    // of these, waiting for data or for frames
  Bytes bytes_in;                // slow to fast
  Bytes bytes_out;               // fast to slow
  int64_t demand_fetches = 0;    // granules fetched because they were touched
  bool profiled = false;         // the step in which the accesses were recorded: slower than the others
  std::string planner;           // of the plan that it ran by; empty: by demand
  double predicted_seconds = 0;  // what that plan expected of a step; 0: nothing is known
  double predicted_exposed_seconds = 0;

  bool operator==(const RunStep&) const = default;
};

// One layer of the recorded step. Times are seconds from the step's start.
struct RunLayer {
  std::string name;
  double start = 0;
  double end = 0;
  double exposed_seconds = 0;
  double predicted_exposed_seconds = -1;  // by its plan; -1: unknown
  Bytes fast_bytes;                       // resident when the layer ends
  Bytes slow_bytes;                       // with a copy in the slow tier and none in fast memory, when the layer ends
  Bytes bytes_in;                         // moved while it ran
  Bytes bytes_out;

  bool operator==(const RunLayer&) const = default;
};

// One granule on its way. Times are seconds from the step's start, negative for what was on its way before.
struct Migration {
  GranuleId granule{0};
  tier::Direction direction = tier::Direction::kIn;
  double issued = 0;  // when it was queued
  double start = 0;   // when the tier took it
  double end = 0;     // when it had arrived
  LayerId layer{0};   // that was running when it was issued
  Bytes bytes;
  bool demand = false;  // a thread waited for it; else it was planned

  bool operator==(const Migration&) const = default;
};

struct RecordedStep {
  int64_t index = -1;  // among RunLog::steps; -1: no step was recorded
  std::vector<RunLayer> layers;
  std::vector<Migration> migrations;

  bool operator==(const RecordedStep&) const = default;
};

struct RunLog {
  std::string name;     // what the run is called in a comparison: "thermocline-20"
  std::string program;  // what ran
  std::string model;
  std::string planner;
  Bytes budget;           // fast bytes it might use
  Bytes peak_bytes;       // largest sum of live bytes that it asked for
  Bytes peak_fast_bytes;  // largest fast bytes that it used
  Bytes granule_bytes;
  Bytes written_today;    // to a slow tier that wears, in the run's current day
  Bytes written_per_day;  // at the run's mean rate
  std::vector<RunTier> tiers;
  std::vector<RunStep> steps;
  RecordedStep recorded;
  trace::ExtraMembers extras = {};  // members of the file that this version does not know; they are written back

  bool operator==(const RunLog&) const = default;
};

absl::StatusOr<RunLog> ParseRunLog(absl::string_view text, absl::string_view name);
// Refuses numbers that JSON can't hold (NaN, infinity).
absl::StatusOr<std::string> FormatRunLog(const RunLog& log);

// Plain, gzip or zstd. A log without a name gets that of the file, without .json.
absl::StatusOr<RunLog> ReadRunLog(const std::string& path);
absl::Status WriteRunLog(const std::string& path, const RunLog& log);

// The median of the steps that were not profiled; 0 when there are none.
struct StepSummary {
  double seconds = 0;
  double exposed_seconds = 0;
  Bytes bytes_in;
  Bytes bytes_out;
};
StepSummary Summarize(const RunLog& log);

// What plans expected, and what happened: medians over the steps of which a plan expected something.
struct PredictionSummary {
  int64_t steps = 0;  // 0: there are none
  double seconds = 0;
  double exposed_seconds = 0;
  double predicted_seconds = 0;
  double predicted_exposed_seconds = 0;
};
PredictionSummary SummarizePredictions(const RunLog& log);

}  // namespace thermocline::report

#endif  // THERMOCLINE_REPORT_RUN_LOG_H_

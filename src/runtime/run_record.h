// RunRecord: what a runtime has done, step by step, and one placed step in detail: the matter of run logs and reports.
//
// Thread safety: plain data. Ownership: by value. Times are seconds from the recorded step's start.
#ifndef THERMOCLINE_RUNTIME_RUN_RECORD_H_
#define THERMOCLINE_RUNTIME_RUN_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/units.h"
#include "src/migrate/mover.h"

namespace thermocline::runtime {

struct StepRecord {
  double seconds = 0;
  double exposed_seconds = 0;
  Bytes bytes_in;
  Bytes bytes_out;
  int64_t demand_fetches = 0;
  bool profiled = false;
  std::string planner;           // of the plan that it ran by; empty: by demand
  double predicted_seconds = 0;  // what that plan expected; 0: nothing
  double predicted_exposed_seconds = 0;
};

struct LayerRecord {
  std::string name;
  double start = 0;
  double end = 0;
  double exposed_seconds = 0;
  double predicted_exposed_seconds = -1;  // -1: the plan was loaded, and says nothing of layers
  Bytes fast_bytes;
  Bytes slow_bytes;
  Bytes bytes_in;
  Bytes bytes_out;
};

struct RunRecord {
  std::vector<StepRecord> steps;
  int64_t recorded_step = -1;  // index into steps
  int64_t recorded_position = 0;
  int64_t recorded_began_nanos = 0;
  std::vector<LayerRecord> layers;
  std::vector<migrate::MoveRecord> moves;
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_RUN_RECORD_H_

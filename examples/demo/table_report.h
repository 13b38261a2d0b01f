// What the table says: on a terminal, and as build/demo/result.json.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_EXAMPLES_DEMO_TABLE_REPORT_H_
#define THERMOCLINE_EXAMPLES_DEMO_TABLE_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "examples/demo/table_run.h"

namespace thermocline::demo {

std::string FormatTable(const TableResult& result);

// {"model", "peak_bytes", "machine": {..}, "runs": [..], "skipped": [..]}. Losses are floats in their shortest decimal
// form, so equal text means equal bits.
nlohmann::json ToJson(const TableResult& result);

// True when every row that should run did, with the stock run's losses and within its budget.
bool AllWell(const TableResult& result);

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_TABLE_REPORT_H_

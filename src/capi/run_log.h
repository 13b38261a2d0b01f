// A runtime's records in the forms that leave the library: the run log and the C struct of statistics.
//
// Thread safety: any thread. Errors: as report::WriteRunLog.
#ifndef THERMOCLINE_CAPI_RUN_LOG_H_
#define THERMOCLINE_CAPI_RUN_LOG_H_

#include <string>

#include "absl/status/status.h"
#include "src/runtime/runtime.h"
#include "thermocline/thermocline.h"

namespace thermocline::capi {

absl::Status SaveRunLog(runtime::Runtime& runtime, const std::string& path);
void FillStats(runtime::Runtime& runtime, tc_stats* stats);

}  // namespace thermocline::capi

#endif  // THERMOCLINE_CAPI_RUN_LOG_H_

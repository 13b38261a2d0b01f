// Any bytes are a trace or are refused; a trace that is read can be written, and is then read back as it was.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "src/trace/compressed_file.h"
#include "src/trace/trace_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thermocline;  // NOLINT: nothing else is here
  const trace::UnpackLimits limits{.most = MiB(4), .most_ratio = 300, .ratio_from = MiB(1)};
  const auto text = trace::Unpack(std::string(reinterpret_cast<const char*>(data), size), "fuzz", limits);
  if (!text.ok()) return 0;
  const auto trace = trace::ParseTrace(*text, "fuzz");
  if (!trace.ok()) {
    if (trace.status().message().empty()) std::abort();  // refused without a reason
    return 0;
  }
  const auto written = trace::FormatTrace(*trace);
  if (!written.ok()) std::abort();
  const auto again = trace::ParseTrace(*written, "again");
  if (!again.ok() || !(again->profile == trace->profile) || again->extras != trace->extras) std::abort();
  return 0;
}

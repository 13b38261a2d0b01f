// Any text is a size or is refused; what is read is in range.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "src/base/parse_units.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thermocline;  // NOLINT: nothing else is here
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto bytes = ParseBytes(text); bytes.ok()) {
    if (*bytes < Bytes(0) || bytes->count() > int64_t{1} << 62) std::abort();
    // From 1 PiB on, what is printed has units that people don't write.
    if (*bytes < GiB(1 << 19) && !ParseBytes(FormatBytes(*bytes)).ok()) std::abort();
  }
  if (const auto budget = ParseBudget(text); budget.ok()) {
    if (!(budget->fraction >= 0) || budget->fraction > 10) std::abort();
    if (budget->fraction == 0 && budget->bytes <= Bytes(0)) std::abort();
    if (budget->Resolve(GiB(1)) < Bytes(0)) std::abort();
  }
  if (const auto rate = ParseBytesPerSecond(text); rate.ok() && !(std::isfinite(rate->rate()) && rate->rate() >= 0)) {
    std::abort();
  }
  if (const auto seconds = ParseSeconds(text); seconds.ok() && !(std::isfinite(*seconds) && *seconds >= 0))
    std::abort();
  return 0;
}

// Reads and prints sizes and rates as people write them.
//
// Thread safety: pure functions. Errors: absl::InvalidArgumentError naming the text, what is wrong with it, and what
// would be right.
#ifndef THERMOCLINE_BASE_PARSE_UNITS_H_
#define THERMOCLINE_BASE_PARSE_UNITS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/units.h"

namespace thermocline {

// "8GiB", "512 MiB", "1.5G" (binary), "1000MB", "4096". Units: B, K/KiB, M/MiB, G/GiB, T/TiB, P/PiB, E/EiB (powers of
// 1024) and KB, MB, GB, TB, PB, EB (powers of 1000), in any case: all that FormatBytes prints can be read. Refuses
// negative, NaN and over 2^62 bytes.
absl::StatusOr<Bytes> ParseBytes(absl::string_view text);

// A budget: bytes as above, or a share of a peak that is known later.
struct Budget {
  Bytes bytes;          // meaningful when fraction == 0
  double fraction = 0;  // of the peak, in (0, 10]; 0 when the budget is in bytes
  // The budget in bytes, given the peak.
  Bytes Resolve(Bytes peak) const;
};
// "20%" or anything ParseBytes takes. Zero is refused.
absl::StatusOr<Budget> ParseBudget(absl::string_view text);

// "1.3GB/s", "800MiB/s".
absl::StatusOr<BytesPerSecond> ParseBytesPerSecond(absl::string_view text);

// "80us", "1.5ms", "3s", "100ns", as seconds.
absl::StatusOr<double> ParseSeconds(absl::string_view text);

// "1.5 MiB", "999 B": three significant digits, binary units.
std::string FormatBytes(Bytes bytes);
// "1.30 GB/s", decimal units as vendors print them.
std::string FormatRate(BytesPerSecond rate);

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_PARSE_UNITS_H_

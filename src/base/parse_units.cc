#include "src/base/parse_units.h"

#include <array>
#include <cmath>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace thermocline {
namespace {

struct Unit {
  absl::string_view name;
  double scale;
};

constexpr double kKi = 1024.0;
constexpr std::array<Unit, 26> kByteUnits = {{
    {"", 1},
    {"b", 1},
    {"k", kKi},
    {"kib", kKi},
    {"kb", 1e3},
    {"m", kKi* kKi},
    {"mib", kKi* kKi},
    {"mb", 1e6},
    {"g", kKi* kKi* kKi},
    {"gib", kKi* kKi* kKi},
    {"gb", 1e9},
    {"t", kKi* kKi* kKi* kKi},
    {"tib", kKi* kKi* kKi* kKi},
    {"tb", 1e12},
    {"ki", kKi},
    {"mi", kKi* kKi},
    {"gi", kKi* kKi* kKi},
    {"ti", kKi* kKi* kKi* kKi},
    {"p", kKi* kKi* kKi* kKi* kKi},
    {"pi", kKi* kKi* kKi* kKi* kKi},
    {"pib", kKi* kKi* kKi* kKi* kKi},
    {"pb", 1e15},
    {"e", kKi* kKi* kKi* kKi* kKi* kKi},
    {"ei", kKi* kKi* kKi* kKi* kKi* kKi},
    {"eib", kKi* kKi* kKi* kKi* kKi* kKi},
    {"eb", 1e18},
}};
constexpr std::array<Unit, 4> kTimeUnits = {{{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}}};
constexpr double kMaxBytes = 4611686018427387904.0;  // 2^62

// Splits "1.5 GiB" into 1.5 and "gib". Only digits and one dot: SimpleAtod alone would take "inf", "nan" and hex.
bool SplitNumber(absl::string_view text, double* number, std::string* unit) {
  text = absl::StripAsciiWhitespace(text);
  const size_t end = text.find_first_not_of("0123456789.");
  const absl::string_view digits = text.substr(0, end);
  if (digits.empty() || !absl::SimpleAtod(digits, number)) return false;
  *unit = end == absl::string_view::npos ? "" : absl::AsciiStrToLower(absl::StripAsciiWhitespace(text.substr(end)));
  return true;
}

template <size_t N>
absl::StatusOr<double> ParseScaled(absl::string_view text, const std::array<Unit, N>& units, absl::string_view what,
                                   absl::string_view examples) {
  double number = 0;
  std::string name;
  if (SplitNumber(text, &number, &name)) {
    for (const Unit& unit : units) {
      if (unit.name == name) return number * unit.scale;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a ", what, "; write it like ", examples));
}

}  // namespace

absl::StatusOr<Bytes> ParseBytes(absl::string_view text) {
  absl::StatusOr<double> value = ParseScaled(text, kByteUnits, "size", "4096, 512MiB or 8GiB");
  if (!value.ok()) return value.status();
  if (!(*value <= kMaxBytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the size '", text, "' is larger than any memory; the most is 2^62 bytes"));
  }
  return Bytes(static_cast<int64_t>(*value));
}

Bytes Budget::Resolve(Bytes peak) const {
  if (fraction == 0) return bytes;
  return Bytes(static_cast<int64_t>(std::llround(fraction * static_cast<double>(peak.count()))));
}

absl::StatusOr<Budget> ParseBudget(absl::string_view text) {
  absl::string_view percent = absl::StripAsciiWhitespace(text);
  if (absl::ConsumeSuffix(&percent, "%")) {
    double number = 0;
    std::string rest;
    if (!SplitNumber(percent, &number, &rest) || !rest.empty() || !(number > 0) || number > 1000) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", text, "' is not a share of the peak; write it like 20% (more than 0%, at most 1000%)"));
    }
    return Budget{Bytes(0), number / 100};
  }
  absl::StatusOr<Bytes> bytes = ParseBytes(text);
  if (!bytes.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a budget; write it like 20% (of the peak), 512MiB or 8GiB"));
  }
  if (bytes->count() == 0) {
    return absl::InvalidArgumentError(
        "a budget of 0 bytes leaves no fast memory at all; give at least one granule, 2MiB");
  }
  return Budget{*bytes, 0};
}

absl::StatusOr<BytesPerSecond> ParseBytesPerSecond(absl::string_view text) {
  absl::string_view size = absl::StripAsciiWhitespace(text);
  double number = 0;
  std::string unit;
  if (!absl::ConsumeSuffix(&size, "/s") || !SplitNumber(size, &number, &unit) || !(number > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a bandwidth; write it like 1.3GB/s or 800MiB/s"));
  }
  absl::StatusOr<double> value = ParseScaled(size, kByteUnits, "bandwidth", "1.3GB/s or 800MiB/s");
  if (!value.ok()) return value.status();
  return BytesPerSecond(*value);
}

absl::StatusOr<double> ParseSeconds(absl::string_view text) {
  return ParseScaled(text, kTimeUnits, "time", "80us, 1.5ms or 3s");
}

std::string FormatBytes(Bytes bytes) {
  double value = static_cast<double>(bytes.count());
  if (std::abs(value) < 1024) return absl::StrCat(bytes.count(), " B");
  const char* const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  int index = -1;
  while (std::abs(value) >= 1023.5 && index < 5) {
    value /= 1024;
    ++index;
  }
  const int decimals = std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f %s", decimals, value, names[index]);
}

std::string FormatRate(BytesPerSecond rate) {
  if (rate.rate() >= 1e9) return absl::StrFormat("%.2f GB/s", rate.rate() / 1e9);
  return absl::StrFormat("%.0f MB/s", rate.rate() / 1e6);
}

}  // namespace thermocline

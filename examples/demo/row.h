// The rows of the demo's table: what each runs, and what came of it.
//
// Thread safety: plain data.
#ifndef THERMOCLINE_EXAMPLES_DEMO_ROW_H_
#define THERMOCLINE_EXAMPLES_DEMO_ROW_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace thermocline::demo {

struct RowSpec {
  enum class Kind { kAllocator, kThermocline, kUnmarked, kSwap };
  std::string name;
  Kind kind = Kind::kAllocator;
  std::string malloc;   // of an allocator row: "glibc", or the library's name
  std::string library;  // its soname; empty: glibc's own
  int percent = 0;      // of the stock run's peak, as fast memory
  std::string planner;
  bool limited = false;  // in a group of processes with a limit of budget and process, and no swap
};

// In the table's order; the stock run, whose peak the budgets are taken from, is first.
const std::vector<RowSpec>& Rows();

// By name: "glibc", "tcmalloc", "jemalloc", "mimalloc"; "thermocline-N", "lru-N", "swap-N", "limited-N" (thermocline at
// N% under a limit that a single page too much would break) or "unmarked-N" (the stock program under `thermocline run`,
// which finds the steps by itself), N in percent of the stock run's peak. Empty when it is none.
std::optional<RowSpec> ParseRow(const std::string& name);

// The path that ld.so has for a soname; empty when the library is not installed.
std::string FindLibrary(const std::string& soname);

struct RowResult {
  RowSpec spec;
  std::vector<double> seconds;        // of the counted steps
  std::vector<double> losses;         // of every step; floats, widened
  std::vector<double> all_seconds;    // of every step, the ones not counted too
  int64_t budget_bytes = 0;           // 0: none
  int64_t outside_peak_bytes = 0;     // of the whole process
  int64_t slow_cache_peak_bytes = 0;  // of files without a name, in the page cache
  double bytes_in = 0;                // per counted step
  double bytes_out = 0;
  double exposed_seconds = 0;
  nlohmann::json summary;  // what the program said at its end
  std::string skipped;     // why there are no figures; empty: there are
  bool failed = false;     // skipped, and it should not have been

  double median() const;
};

// The middle value; of an even count, the mean of the two. 0 when empty.
double Median(std::vector<double> values);

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_ROW_H_

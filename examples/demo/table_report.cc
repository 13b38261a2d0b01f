#include "examples/demo/table_report.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <fstream>

namespace thermocline::demo {
namespace {

// Bit for bit, as far as the shorter run goes (the swap row takes fewer steps).
bool SameLosses(const RowResult& row, const RowResult& stock) {
  const size_t n = std::min(row.losses.size(), stock.losses.size());
  return n > 0 && std::equal(row.losses.begin(), row.losses.begin() + n, stock.losses.begin(), [](double a, double b) {
           return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
         });
}

int64_t PeakFastBytes(const RowResult& row, const TableResult& result) {
  return std::max<int64_t>(0, row.outside_peak_bytes - result.base_bytes);
}

// What an emulated tier keeps is the process's own memory.
bool HasHardBudget(const RowResult& row, const TableResult& result) {
  const bool placed = row.spec.kind == RowSpec::Kind::kThermocline || row.spec.kind == RowSpec::Kind::kUnmarked;
  return placed && row.budget_bytes > 0 && !result.options.slow.starts_with("emulated:");
}

// Seen from outside, with what a process needs besides and a hundredth for how that varies.
bool WithinBudget(const RowResult& row, const TableResult& result) {
  if (!HasHardBudget(row, result)) return true;
  constexpr int64_t kRoomPercent = 1;
  return row.outside_peak_bytes <= (row.budget_bytes + result.base_bytes) * (100 + kRoomPercent) / 100;
}

// What a step of the swap row waits can't be seen from outside: it is what it takes over the fastest row.
double ExposedSeconds(const RowResult& row, const TableResult& result) {
  if (row.spec.kind != RowSpec::Kind::kSwap) return row.exposed_seconds;
  double fastest = row.median();
  for (const RowResult& other : result.rows) {
    if (other.spec.kind == RowSpec::Kind::kAllocator && !other.seconds.empty()) {
      fastest = std::min(fastest, other.median());
    }
  }
  return row.median() - fastest;
}

nlohmann::json RunJson(const RowResult& row, const TableResult& result) {
  nlohmann::json run = {{"name", row.spec.name},
                        {"seconds_per_step_median", row.median()},
                        {"seconds_per_step", row.seconds},
                        {"peak_fast_bytes", PeakFastBytes(row, result)},
                        {"peak_process_bytes", row.outside_peak_bytes},
                        {"slow_file_cached_peak_bytes", row.slow_cache_peak_bytes},
                        {"seconds_of_every_step", row.all_seconds},
                        {"bytes_in_per_step", static_cast<int64_t>(row.bytes_in)},
                        {"bytes_out_per_step", static_cast<int64_t>(row.bytes_out)},
                        {"exposed_seconds_per_step", ExposedSeconds(row, result)},
                        {"losses", row.losses},
                        {"losses_equal", SameLosses(row, result.rows[0])},
                        {"peak_bytes", row.summary.value("peak_bytes", int64_t{0})}};
  if (row.budget_bytes > 0) run["budget_bytes"] = row.budget_bytes;
  if (HasHardBudget(row, result)) run["within_budget"] = WithinBudget(row, result);
  if (row.summary.contains("malloc")) run["malloc"] = row.summary["malloc"];
  if (row.summary.contains("runtime")) run["runtime"] = row.summary["runtime"];
  return run;
}

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
}

nlohmann::json MachineJson(const TableResult& result) {
  utsname system{};
  uname(&system);
  return {{"slow", result.options.slow},
          {"slow_in_bytes_per_second", result.disk.in},
          {"slow_out_bytes_per_second", result.disk.out},
          {"cpu", CpuModel()},
          {"cores", sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_bytes", static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE)},
          {"kernel", std::string(system.sysname) + " " + system.release}};
}

std::string Model(const TableOptions& o) {
  if (!o.program_name.empty()) return o.program_name;
  return "ResNet-" + std::to_string(6 * o.blocks + 2) + ", width " + std::to_string(o.width) + ", batch " +
         std::to_string(o.batch) + ", Fashion-MNIST";
}

void AppendRow(const RowResult& row, const TableResult& result, std::string* table) {
  char line[256];
  const auto [least, most] = std::minmax_element(row.seconds.begin(), row.seconds.end());
  std::snprintf(line, sizeof(line), "%-16s %8.3f  %7.3f - %-7.3f %10.1f %9.1f %9.1f %9.3f  %s%s\n",
                row.spec.name.c_str(), row.median(), *least, *most,
                static_cast<double>(PeakFastBytes(row, result)) / 1e6, row.bytes_in / 1e6, row.bytes_out / 1e6,
                ExposedSeconds(row, result), SameLosses(row, result.rows[0]) ? "equal" : "DIFFER",
                WithinBudget(row, result) ? "" : ", OVER ITS BUDGET");
  *table += line;
}

}  // namespace

std::string FormatTable(const TableResult& result) {
  char text[512];
  std::snprintf(text, sizeof(text),
                "\n%s. Tensors need %.1f MB at most, the rest of the process %.1f MB.\n"
                "Slow tier %s: %.2f GB/s in, %.2f GB/s out. Memory as seen by %s.\n\n",
                Model(result.options).c_str(), static_cast<double>(result.peak_bytes) / 1e6,
                static_cast<double>(result.base_bytes) / 1e6, result.options.slow.c_str(), result.disk.in / 1e9,
                result.disk.out / 1e9, result.memory_seen_by.c_str());
  std::string table = text;
  std::snprintf(text, sizeof(text), "%-16s %8s  %17s %10s %9s %9s %9s  %s\n%-16s %8s  %17s %10s %9s %9s %9s  %s\n", "",
                "s/step", "spread", "peak fast", "in", "out", "exposed", "losses", "", "median", "min - max", "MB",
                "MB/step", "MB/step", "s/step", "vs glibc");
  table += text;
  for (const RowResult& row : result.rows) {
    if (row.skipped.empty() && !row.seconds.empty()) AppendRow(row, result, &table);
  }
  for (const RowResult& row : result.rows) {
    if (!row.skipped.empty()) table += row.spec.name + (row.failed ? " FAILED: " : " skipped: ") + row.skipped + "\n";
  }
  if (result.turns_taken < result.options.turns) {
    table += "Rows took " + std::to_string(result.turns_taken) + " of " + std::to_string(result.options.turns) +
             " turns: more would have taken longer than " +
             std::to_string(static_cast<int>(result.options.time_limit_seconds)) + " s in all.\n";
  }
  return table;
}

nlohmann::json ToJson(const TableResult& result) {
  nlohmann::json runs = nlohmann::json::array(), skipped = nlohmann::json::array();
  for (const RowResult& row : result.rows) {
    if (row.skipped.empty()) {
      runs.push_back(RunJson(row, result));
    } else {
      skipped.push_back({{"name", row.spec.name}, {"reason", row.skipped}, {"failed", row.failed}});
    }
  }
  const TableOptions& o = result.options;
  return {{"model", Model(o)},
          {"peak_bytes", result.peak_bytes},
          {"base_bytes", result.base_bytes},
          {"peak_fast_seen_by", result.memory_seen_by},
          {"interleaved", result.interleaved},
          {"steps",
           {{"warmup", o.warmup},
            {"turns", result.turns_taken},
            {"turns_wanted", o.turns},
            {"uncounted_a_turn", o.uncounted},
            {"counted_a_turn", o.counted}}},
          {"machine", MachineJson(result)},
          {"runs", runs},
          {"skipped", skipped}};
}

bool AllWell(const TableResult& result) {
  return std::all_of(result.rows.begin(), result.rows.end(), [&](const RowResult& row) {
    if (!row.skipped.empty()) return !row.failed;
    return SameLosses(row, result.rows[0]) && WithinBudget(row, result);
  });
}

}  // namespace thermocline::demo

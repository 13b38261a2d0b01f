#include "examples/demo/table_run.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "examples/demo/interrupt.h"
#include "examples/demo/slow_tier.h"
#include "examples/demo/swap_file.h"

namespace thermocline::demo {
namespace {

// A process of libtorch without a tensor, roughly: only to judge whether all rows fit the machine at once.
constexpr int64_t kProcessBytes = 700 << 20;
// The swap row is slow, so it takes fewer steps, in one turn.
constexpr int kSwapWarmup = 1;
constexpr int kSwapCounted = 2;
constexpr double kSwapSlowdown = 8;  // for the estimate of the time that is left

int64_t AvailableBytes() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  int64_t kib = 0;
  for (std::string rest; file >> name >> kib && std::getline(file, rest);) {
    if (name == "MemAvailable:") return kib << 10;
  }
  return 0;
}

}  // namespace

int64_t GuessPeakBytes(const TableOptions& options) {
  // Activations of a stage are two per convolution, and there are six convolutions to a block over the three stages.
  return options.batch * options.width * 28 * 28 * 4 * options.blocks * 10;
}

int64_t SlowBytesWanted(const TableOptions& options) {
  const std::vector<RowSpec>& rows = Rows();
  return GuessPeakBytes(options) * std::count_if(rows.begin(), rows.end(), [](const RowSpec& spec) {
           return spec.kind == RowSpec::Kind::kThermocline;
         });
}

// A row while its process lives.
struct TableRun::Running {
  RowResult result;
  std::unique_ptr<MemoryCgroup> cgroup;  // before process: the group can only go once its member has
  std::unique_ptr<RowProcess> process;
};

std::vector<RowSpec> TableRun::WantedRows() const {
  std::vector<RowSpec> specs;
  if (!options_.rows.empty()) {
    std::stringstream names("glibc," + options_.rows);
    for (std::string name; std::getline(names, name, ',');) {
      const std::optional<RowSpec> spec = ParseRow(name);
      if (!spec.has_value()) throw std::runtime_error("--rows: there is no row '" + name + "'");
      const auto same = [&](const RowSpec& other) { return other.name == name; };
      if (std::none_of(specs.begin(), specs.end(), same)) specs.push_back(*spec);
    }
    return specs;
  }
  for (const RowSpec& spec : Rows()) {
    const bool wanted = ("," + options_.only + ",").find("," + spec.name + ",") != std::string::npos;
    // glibc's peak gives the budgets; tcmalloc's says what a process needs besides tensors, as glibc keeps freed
    // memory.
    const bool always = spec.name == "glibc" || spec.name == "tcmalloc";
    if (always || options_.only.empty() || wanted) specs.push_back(spec);
  }
  return specs;
}

TableResult TableRun::Run() {
  result_.options = options_;
  result_.disk = MeasureSlow(options_.slow);
  std::vector<RowSpec> stepped, alone;
  for (const RowSpec& spec : WantedRows()) {
    // What needs a limit that the other rows tell comes after them.
    (spec.kind == RowSpec::Kind::kSwap || spec.limited ? alone : stepped).push_back(spec);
  }
  const int turn_steps = options_.turns * (options_.uncounted + options_.counted);
  steps_planned_ = static_cast<int>(stepped.size()) * (options_.warmup + turn_steps);
  for (const RowSpec& spec : alone) {
    steps_alone_ +=
        spec.limited ? options_.warmup + kSwapCounted : static_cast<int>((kSwapWarmup + kSwapCounted) * kSwapSlowdown);
  }
  steps_planned_ += steps_alone_;

  result_.interleaved = MemoryForAll(stepped);
  result_.interleaved ? RunInterleaved(stepped) : RunOneByOne(stepped);
  result_.base_bytes = BaseBytes();
  for (const RowSpec& spec : alone) result_.rows.push_back(spec.limited ? RunLimited(spec) : RunSwap(spec));
  return std::move(result_);
}

void TableRun::RunInterleaved(const std::vector<RowSpec>& specs) {
  std::vector<std::unique_ptr<Running>> rows;
  for (const RowSpec& spec : specs) {
    rows.push_back(Start(spec));
  }
  double turn_seconds = 0;
  for (int turn = 0; turn < options_.turns && (turn == 0 || TimeFor(turn_seconds)); ++turn) {
    const double before = Elapsed();
    Round(&rows, turn);
    turn_seconds = Elapsed() - before;
    result_.turns_taken = turn + 1;
  }
  for (auto& row : rows) Finish(row.get());
  for (auto& row : rows) result_.rows.push_back(std::move(row->result));
}

// Each round begins with another row, so that none always follows the same one.
void TableRun::Round(std::vector<std::unique_ptr<Running>>* rows, int turn) {
  for (size_t i = 0; i < rows->size(); ++i) Turn((*rows)[(i + static_cast<size_t>(turn)) % rows->size()].get());
}

void TableRun::RunOneByOne(const std::vector<RowSpec>& specs) {
  result_.turns_taken = options_.turns;
  double rows_left = static_cast<double>(specs.size());
  for (const RowSpec& spec : specs) {
    const std::unique_ptr<Running> row = Start(spec);
    int turns = 0;
    for (double turn_seconds = 0; turns < options_.turns; ++turns) {
      // The rows after it have a turn each at least.
      if (turns > 0 && !TimeFor(turn_seconds * rows_left)) break;
      const double before = Elapsed();
      Turn(row.get());
      turn_seconds = Elapsed() - before;
    }
    result_.turns_taken = std::min(result_.turns_taken, turns);
    rows_left -= 1;
    Finish(row.get());
    result_.rows.push_back(std::move(row->result));
  }
}

std::unique_ptr<TableRun::Running> TableRun::Start(const RowSpec& spec) {
  auto row = std::make_unique<Running>();
  row->result.spec = spec;
  if (spec.percent > 0) row->result.budget_bytes = result_.peak_bytes * spec.percent / 100;
  const std::string preload = spec.library.empty() ? "" : FindLibrary(spec.library);
  if (!spec.library.empty() && preload.empty()) {
    Skip(row.get(), spec.library + " is not installed; scripts/deps demo installs it", false);
  } else if (Launch(row.get(), preload)) {
    Steps(row.get(), options_.warmup, Counts::kNo);
  }
  return row;
}

bool TableRun::Launch(Running* row, const std::string& preload) {
  const RowSpec& spec = row->result.spec;
  const std::string base = options_.out + "/" + spec.name;
  RowCommand command;
  command.preload = preload;
  command.log_path = base + ".log";
  command.slow_node = SlowNode(options_.slow);
  const int steps = options_.warmup + options_.turns * (options_.uncounted + options_.counted);
  command.arguments = {options_.program,      "--lockstep", "--steps",
                       std::to_string(steps), "--threads",  std::to_string(options_.threads)};
  std::vector<std::string> network = options_.program_arguments;
  if (options_.program_name.empty()) {
    network = {"--width", std::to_string(options_.width), "--blocks", std::to_string(options_.blocks),
               "--batch", std::to_string(options_.batch)};
  }
  command.arguments.insert(command.arguments.end(), network.begin(), network.end());
  if (spec.kind == RowSpec::Kind::kThermocline) {
    const std::vector<std::string> more = {
        "--allocator", "thermocline", "--planner",      spec.planner, "--slow",
        options_.slow, "--run-log",   base + ".runlog", "--fast",     std::to_string(row->result.budget_bytes)};
    command.arguments.insert(command.arguments.end(), more.begin(), more.end());
    if (spec.planner != "lru") command.arguments.insert(command.arguments.end(), {"--profile", base + ".trace.json"});
  }
  if (spec.kind == RowSpec::Kind::kUnmarked) {
    const std::vector<std::string> run = {
        options_.thermocline, "run", "--fast", std::to_string(row->result.budget_bytes), "--slow", options_.slow, "--"};
    command.arguments.insert(command.arguments.begin(), run.begin(), run.end());
  }
  try {
    if (row->cgroup == nullptr) {
      std::string why_not;
      row->cgroup = MemoryCgroup::Create(spec.name, journal_, &why_not);
      result_.memory_seen_by = row->cgroup != nullptr && row->cgroup->Counts()
                                   ? row->cgroup->Describe()
                                   : "/proc/PID/status and memory files, sampled (" + why_not + ")";
    }
    // A group counts the slow node's pages too.
    if (command.slow_node >= 0) result_.memory_seen_by = "/proc/PID/status less the slow node's in numa_maps, sampled";
    if (row->cgroup != nullptr) command.cgroup_members_file = row->cgroup->members_file();
    if (spec.kind == RowSpec::Kind::kSwap) command.while_waiting = [group = row->cgroup.get()] { group->Unstick(); };
    row->process = std::make_unique<RowProcess>(command);
    return true;
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& e) {
    Skip(row, e.what(), true);
    return false;
  }
}

void TableRun::Turn(Running* row) {
  Steps(row, options_.uncounted, Counts::kNo);
  Steps(row, options_.counted, Counts::kYes);
}

void TableRun::Steps(Running* row, int count, Counts counts) {
  RowResult& result = row->result;
  for (int i = 0; i < count && row->process != nullptr; ++i) {
    try {
      const nlohmann::json step = row->process->Step();
      const double seconds = step.at("seconds").get<double>();
      result.losses.push_back(step.at("loss").get<double>());
      result.all_seconds.push_back(seconds);
      least_step_seconds_ = least_step_seconds_ == 0 ? seconds : std::min(least_step_seconds_, seconds);
      if (result_.rows.empty() && result.spec.name == Rows()[0].name) {
        result_.peak_bytes = std::max(result_.peak_bytes, step.at("peak_bytes").get<int64_t>());
      }
      if (counts == Counts::kYes) {
        result.seconds.push_back(seconds);
        result.bytes_in += step.at("bytes_in").get<double>();
        result.bytes_out += step.at("bytes_out").get<double>();
        result.exposed_seconds += step.at("exposed_seconds").get<double>();
      }
      ++steps_done_;
      char text[160];
      std::snprintf(text, sizeof(text), "step %2zu%s  %6.3f s  loss %.9g", result.losses.size(),
                    counts == Counts::kYes ? "" : " (warm-up)", seconds, step.at("loss").get<double>());
      Say(result.spec.name, text);
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& e) {
      Skip(row, e.what(), true);
    }
  }
}

void TableRun::Finish(Running* row) {
  RowResult& result = row->result;
  if (row->process == nullptr) return;
  try {
    result.summary = row->process->Finish();
    const double n = std::max<double>(1, static_cast<double>(result.seconds.size()));
    result.bytes_in /= n;
    result.bytes_out /= n;
    result.exposed_seconds /= n;
    const int64_t charged = row->cgroup == nullptr || SlowNode(options_.slow) >= 0 ? 0 : row->cgroup->PeakBytes();
    result.slow_cache_peak_bytes = row->process->slow_cache_peak_bytes();
    result.outside_peak_bytes = charged > 0 ? charged : row->process->sampled_peak_bytes();
    const std::string malloc = result.summary.value("malloc", "");
    if (!result.spec.malloc.empty() && malloc != result.spec.malloc) {
      Skip(row, "ran on " + malloc + " in spite of LD_PRELOAD", true);
    }
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& e) {
    Skip(row, e.what(), true);
  }
  row->process.reset();
  row->cgroup.reset();
}

RowResult TableRun::RunSwap(const RowSpec& spec) {
  std::unique_ptr<SwapFile> swap;  // before the row: the process must end before the area can go
  Running row;
  row.result.spec = spec;
  row.result.budget_bytes = result_.peak_bytes * spec.percent / 100;
  std::string why_not;
  row.cgroup = MemoryCgroup::Create(spec.name, journal_, &why_not);
  if (row.cgroup != nullptr) {
    const std::string folder = SlowFolder(options_.slow).empty() ? "/var/tmp" : SlowFolder(options_.slow);
    Say(spec.name, "making a swap file in " + folder);
    swap = SwapFile::Create(folder, result_.peak_bytes + kProcessBytes, journal_, &why_not);
  }
  if (swap == nullptr) {
    Skip(&row, why_not, false);
    return std::move(row.result);
  }
  try {
    row.cgroup->SetLimit(row.result.budget_bytes + result_.base_bytes);
    row.cgroup->WaitAtLimit();
  } catch (const std::exception& e) {
    Skip(&row, e.what(), false);
    return std::move(row.result);
  }
  if (Launch(&row, FastestPreload())) {
    Steps(&row, kSwapWarmup, Counts::kNo);
    const SwapTraffic before = ReadSwapTraffic();
    Steps(&row, kSwapCounted, Counts::kYes);
    const SwapTraffic after = ReadSwapTraffic();
    row.result.bytes_in = static_cast<double>(after.in - before.in);
    row.result.bytes_out = static_cast<double>(after.out - before.out);
  }
  Finish(&row);
  row.result.failed = false;  // what the kernel does at its limit is no failure of ours
  return std::move(row.result);
}

RowResult TableRun::RunLimited(const RowSpec& spec) {
  Running row;
  row.result.spec = spec;
  row.result.budget_bytes = result_.peak_bytes * spec.percent / 100;
  std::string why_not;
  row.cgroup = MemoryCgroup::Create(spec.name, journal_, &why_not);
  if (row.cgroup == nullptr) {
    Skip(&row, why_not, false);
    return std::move(row.result);
  }
  constexpr int64_t kRoomPercent = 1;
  row.cgroup->SetLimit((row.result.budget_bytes + result_.base_bytes) * (100 + kRoomPercent) / 100);
  row.cgroup->ForbidSwap();
  if (Launch(&row, "")) {
    Steps(&row, options_.warmup, Counts::kNo);
    Steps(&row, kSwapCounted, Counts::kYes);
  }
  Finish(&row);
  return std::move(row.result);
}

void TableRun::Skip(Running* row, const std::string& reason, bool failed) {
  row->result.skipped = reason.substr(0, reason.find_last_not_of('\n') + 1);
  const int whole = options_.warmup + options_.turns * (options_.uncounted + options_.counted);
  if (row->result.spec.kind != RowSpec::Kind::kSwap && !row->result.spec.limited) {
    steps_planned_ -= std::max(0, whole - static_cast<int>(row->result.losses.size()));
  }
  row->result.failed = failed;
  row->process.reset();
  row->cgroup.reset();
  Say(row->result.spec.name, (failed ? "FAILED: " : "skipped: ") + row->result.skipped);
}

// All rows alive at once take about this much; with less, each has the machine to itself instead.
bool TableRun::MemoryForAll(const std::vector<RowSpec>& specs) const {
  const int64_t guess = GuessPeakBytes(options_);
  int64_t wanted = 0;
  for (const RowSpec& spec : specs) {
    wanted += kProcessBytes + (spec.percent > 0 ? guess * spec.percent / 100 : guess);
  }
  return AvailableBytes() > wanted;
}

// The rows that run alone come after the last turn, and have their part of the time.
bool TableRun::TimeFor(double seconds) const {
  return Elapsed() + seconds + steps_alone_ * least_step_seconds_ < options_.time_limit_seconds;
}

// What the leanest allocator row's process held besides the tensors that it asked for.
int64_t TableRun::BaseBytes() const {
  int64_t least = -1;
  for (const RowResult& row : result_.rows) {
    if (row.spec.kind != RowSpec::Kind::kAllocator || !row.skipped.empty()) continue;
    const int64_t base = row.outside_peak_bytes - row.summary.value("peak_bytes", result_.peak_bytes);
    if (least < 0 || base < least) least = std::max<int64_t>(0, base);
  }
  return std::max<int64_t>(0, least);
}

std::string TableRun::FastestPreload() const {
  const RowResult* fastest = nullptr;
  for (const RowResult& row : result_.rows) {
    if (row.spec.kind != RowSpec::Kind::kAllocator || row.seconds.empty()) continue;
    if (fastest == nullptr || row.median() < fastest->median()) fastest = &row;
  }
  return fastest == nullptr || fastest->spec.library.empty() ? "" : FindLibrary(fastest->spec.library);
}

void TableRun::Say(const std::string& name, const std::string& what) {
  const double left = steps_done_ == 0 ? 0 : Elapsed() / steps_done_ * std::max(0, steps_planned_ - steps_done_);
  std::fprintf(stderr, "[%3d/%d, about %d:%02d left] %-16s %s\n", steps_done_, steps_planned_,
               static_cast<int>(left) / 60, static_cast<int>(left) % 60, name.c_str(), what.c_str());
}

}  // namespace thermocline::demo

// `thermocline run`: an unmodified program, its large allocations placed in a fast budget.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/Config.hpp"  // what App.hpp declares and does not define
#include "CLI/Formatter.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "src/base/parse_units.h"
#include "src/cli/command.h"
#include "src/cli/peak_cache.h"
#include "src/cli/planning.h"
#include "src/cli/text_table.h"
#include "src/plan/make_planner.h"
#include "src/runtime/settings.h"
#include "src/tier/tier_spec.h"

extern char** environ;

namespace thermocline::cli {
namespace {

constexpr char kLibrary[] = "libthermocline_preload.so";

struct RunFlags {
  std::string fast;
  std::string peak;
  std::string profile;
  std::string slow;
  std::string planner;
  std::string plan;
  std::string granule;
  std::string threshold;
  std::string stats;
  bool verify = false;
  bool no_children = false;
  bool quiet = false;
  std::vector<std::string> command;
};

// What a share is a share of; nullopt when that is to be learnt by this run.
absl::StatusOr<std::optional<Bytes>> Peak(const RunFlags& flags) {
  if (!flags.peak.empty()) {
    const auto peak = ParseBytes(flags.peak);
    if (!peak.ok()) return UsageError(absl::StrCat("--peak: ", peak.status().message()));
    return *peak;
  }
  if (!flags.profile.empty()) {
    const auto trace = ReadTraceFile(flags.profile);
    if (!trace.ok()) return trace.status();
    return trace->profile.peak_bytes;
  }
  return RememberedPeak(flags.command);
}

// "" when the peak is not known: the runtime then takes what the machine has.
absl::StatusOr<std::string> FastBytes(const RunFlags& flags) {
  const auto budget = ParseBudget(flags.fast);
  if (!budget.ok()) return UsageError(absl::StrCat("--fast: ", budget.status().message()));
  if (budget->fraction == 0 && budget->bytes <= Bytes(1000)) {
    return UsageError(absl::StrCat("--fast ", flags.fast, " is ", budget->bytes.count(),
                                   " bytes; write 20% for a share of ", "the peak, or a size such as 512MiB"));
  }
  if (budget->fraction == 0) return absl::StrCat(budget->bytes.count());
  const auto peak = Peak(flags);
  if (!peak.ok()) return peak.status();
  if (peak->has_value()) return absl::StrCat(budget->Resolve(**peak).count());
  Warn(absl::StrCat("--fast ", flags.fast,
                    " is a share of the command's peak, which is not known before it has run once: ",
                    "this run learns it, with all the memory it needs; the next one gets ", flags.fast,
                    ". To have it now, give the peak: --peak 2GiB"));
  return "";
}

// Beside this program: as built (../lib), or as installed.
absl::StatusOr<std::string> FindLibrary() {
  std::error_code error;
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<std::filesystem::path> places = {here / "../lib", here / "../lib64", here};
  for (const auto& entry : std::filesystem::directory_iterator(here / "../lib", error)) {
    if (entry.is_directory()) places.push_back(entry.path());  // lib/x86_64-linux-gnu
  }
  for (const std::filesystem::path& place : places) {
    const auto path = std::filesystem::weakly_canonical(place / kLibrary, error);
    if (std::filesystem::exists(path, error)) return path.string();
  }
  return absl::NotFoundError(absl::StrCat(kLibrary, " is not beside ", here.string(),
                                          " nor in its ../lib; reinstall Thermocline, or build the target "
                                          "thermocline_preload"));
}

// The runtime names the variable that is wrong; who gave a flag is told the flag. Whole names only: one variable's
// begins with another's.
std::string AsFlags(absl::string_view message, const std::vector<std::pair<std::string, std::string>>& variables) {
  constexpr absl::string_view kPrefix = "THERMOCLINE_";
  std::string text;
  for (size_t at = message.find(kPrefix); at != message.npos; at = message.find(kPrefix)) {
    const size_t end = std::min(message.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", at), message.size());
    const absl::string_view name = message.substr(at, end - at);
    const bool is_flag =
        std::any_of(variables.begin(), variables.end(), [&](const auto& v) { return v.first == name; });
    absl::StrAppend(&text, message.substr(0, at),
                    is_flag ? "--" + absl::AsciiStrToLower(absl::StripPrefix(name, kPrefix)) : std::string(name));
    message.remove_prefix(end);
  }
  return absl::StrCat(text, message);
}

// Everything that would make the runtime refuse, said before the program starts rather than from inside it.
absl::Status Check(const std::vector<std::pair<std::string, std::string>>& variables) {
  const auto environment = [&variables](const char* name) -> std::optional<std::string> {
    for (const auto& [variable, value] : variables) {
      if (variable == name) return value;
    }
    return runtime::ProcessEnvironment()(name);
  };
  const auto settings = runtime::ReadSettings({}, environment);
  if (!settings.ok()) return UsageError(AsFlags(settings.status().message(), variables));
  if (const auto planner = plan::MakePlanner(settings->planner); !planner.ok()) {
    return UsageError(planner.status().message());
  }
  if (!settings->profile_in.empty()) {
    if (const auto profile = ReadTraceFile(settings->profile_in); !profile.ok()) return profile.status();
  }
  const auto tier = tier::MakeBlockTier(settings->slow, settings->granule_bytes);
  return tier.ok() ? tier::CheckRoom(**tier) : tier.status();
}

// Whether the program is to make its plan of the profile. Beside a plan, or where none is made, a profile only says
// what a share is taken of.
bool PlansOfProfile(const RunFlags& flags) {
  const auto given = [](const std::string& flag, const char* variable) {
    return flag.empty() ? runtime::ProcessEnvironment()(variable).value_or("") : flag;
  };
  return given(flags.plan, "THERMOCLINE_PLAN").empty() && given(flags.planner, "THERMOCLINE_PLANNER") != "lru";
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Variables(const RunFlags& flags) {
  const auto fast = FastBytes(flags);
  if (!fast.ok()) return fast.status();
  if (!flags.threshold.empty()) {
    const auto threshold = ParseBytes(flags.threshold);
    if (!threshold.ok()) return UsageError(absl::StrCat("--threshold: ", threshold.status().message()));
    if (*threshold < KiB(4)) return UsageError("--threshold must be at least 4KiB");
  }
  std::vector<std::pair<std::string, std::string>> variables = {{"THERMOCLINE_FAST", *fast}};
  const auto add = [&variables](const char* name, const std::string& value) {
    if (!value.empty()) variables.emplace_back(name, value);
  };
  add("THERMOCLINE_SLOW", flags.slow);
  add("THERMOCLINE_PLANNER", flags.planner);
  add("THERMOCLINE_PLAN", flags.plan);
  if (PlansOfProfile(flags)) add("THERMOCLINE_PROFILE", flags.profile);
  add("THERMOCLINE_GRANULE", flags.granule);
  add("THERMOCLINE_THRESHOLD", flags.threshold);
  if (flags.verify) add("THERMOCLINE_VERIFY", "1");
  if (flags.no_children) add("THERMOCLINE_CHILDREN", "0");
  return variables;
}

// Where the program's processes say what they did: the file that the user named, or memory of this process, so that
// nothing is left behind however it ends. No path where neither can be had.
class StatsFile {
 public:
  explicit StatsFile(const std::string& named) : path_(named) {
    if (!named.empty()) return;
    memory_ = memfd_create("thermocline-stats", MFD_CLOEXEC);
    if (memory_ >= 0) path_ = absl::StrCat("/proc/", getpid(), "/fd/", memory_);
  }
  ~StatsFile() {
    if (memory_ >= 0) close(memory_);
  }
  StatsFile(const StatsFile&) = delete;
  StatsFile& operator=(const StatsFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int memory_ = -1;
};

pid_t g_child = 0;
void Forward(int signum) { kill(g_child, signum); }

// The program's exit status, 128 + N when signal N ended it. Ctrl-C reaches the program by its terminal; other requests
// to end are passed on.
absl::StatusOr<int> RunToEnd(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  if (const int error = posix_spawnp(&g_child, words[0], nullptr, nullptr, words.data(), environ)) {
    return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", command[0]));
  }
  for (int signum : {SIGTERM, SIGHUP}) signal(signum, Forward);
  for (int signum : {SIGINT, SIGQUIT}) signal(signum, SIG_IGN);
  int status = 0;
  while (waitpid(g_child, &status, 0) < 0) {
    if (errno != EINTR) return absl::ErrnoToStatus(errno, absl::StrCat("waiting for ", command[0]));
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// What became of the search for steps, in a process that had to move something.
std::string RhythmWords(const nlohmann::json& stats) {
  const auto rhythm = stats.find("rhythm");
  if (rhythm == stats.end() || !rhythm->is_object() || !rhythm->value("sought", false)) return "";
  if (rhythm->value("allocations", int64_t{0}) == 0) return "; no rhythm in its allocations; ran by demand";
  return absl::StrCat("; rhythm found, ", rhythm->value("allocations", int64_t{0}), " allocations a step, ",
                      rhythm->value("placed_steps", int64_t{0}), " steps ran by plan");
}

// What the disk gets; empty for tiers that do not wear.
std::string WearWords(const nlohmann::json& stats) {
  const Bytes daily(stats.value("written_per_day_bytes", int64_t{0}));
  return daily.count() == 0 ? "" : absl::StrCat(" (", FormatBytes(daily), " written a day at this rate)");
}

// What the process that placed most said at its end; null when none said anything.
nlohmann::json ReadStats(const std::string& path, int* count) {
  std::ifstream file(path);
  nlohmann::json most;
  int& processes = *count;
  for (std::string line; std::getline(file, line);) {
    auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("peak_live_bytes")) continue;
    ++processes;
    if (most.is_null() || json["peak_live_bytes"] > most["peak_live_bytes"]) most = std::move(json);
  }
  return most;
}

// One line about it.
void Summarise(const nlohmann::json& most, int processes, const std::string& command) {
  if (most.is_null()) {
    Warn(absl::StrCat("nothing was placed: no allocation reached the threshold, or ", command,
                      " takes no LD_PRELOAD (static or set-user-ID), or ended by a signal"));
    return;
  }
  const auto size = [&most](const char* name) { return FormatBytes(Bytes(most.value(name, int64_t{0}))); };
  Warn(absl::StrCat("peak ", size("peak_live_bytes"), " placed, in at most ", size("peak_fast_bytes"), " of ",
                    size("fast_budget_bytes"), " fast memory; moved ", size("bytes_in"), " in and ", size("bytes_out"),
                    " out", WearWords(most), ", waited ", FormatSeconds(most.value("exposed_seconds", 0.0)),
                    RhythmWords(most),
                    processes > 1 ? absl::StrCat(" (the largest of ", processes, " processes)") : ""));
}

absl::StatusOr<int> Run(const RunFlags& flags) {
  const auto variables = Variables(flags);
  if (!variables.ok()) return variables.status();
  if (absl::Status status = Check(*variables); !status.ok()) return status;
  const auto library = FindLibrary();
  if (!library.ok()) return library.status();

  // The processes append: nothing of an earlier run may stay.
  if (!flags.stats.empty() && !std::ofstream(flags.stats, std::ios::trunc)) {
    return absl::ErrnoToStatus(errno, absl::StrCat("--stats ", flags.stats, ": can't be written"));
  }
  const char* others = getenv("LD_PRELOAD");
  const StatsFile stats(flags.stats);
  for (const auto& [name, value] : *variables) setenv(name.c_str(), value.c_str(), 1);
  setenv("LD_PRELOAD", others != nullptr ? absl::StrCat(*library, ":", others).c_str() : library->c_str(), 1);
  if (flags.quiet) setenv("THERMOCLINE_QUIET", "1", 1);
  if (!stats.path().empty()) setenv("THERMOCLINE_STATS", std::filesystem::absolute(stats.path()).c_str(), 1);
  auto result = RunToEnd(flags.command);
  const char* mode = getenv("THERMOCLINE");
  const bool off = mode != nullptr && strcmp(mode, "off") == 0;
  if (!result.ok() || off || stats.path().empty()) return result;
  int processes = 0;
  const nlohmann::json most = ReadStats(stats.path(), &processes);
  if (!flags.quiet) Summarise(most, processes, flags.command[0]);
  if (most.is_null() || *result != 0) return result;  // a run that failed says little about the peak
  const absl::Status kept = RememberPeak(flags.command, Bytes(most.value("peak_live_bytes", int64_t{0})));
  if (!kept.ok() && !flags.quiet) Warn(absl::StrCat("the peak is not remembered: ", kept.message()));
  return result;
}

}  // namespace

void RegisterRun(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("run",
                         "Run an unmodified program with its large allocations placed:\n"
                         "  thermocline run --fast 512MiB -- python3 train.py\n"
                         "\n"
                         "The budget holds for each process: a program that COMMAND starts has a whole\n"
                         "one of its own. A forked child that starts no program reads what it finds in\n"
                         "slow memory into memory that no budget limits.");
  const auto flags = std::make_shared<RunFlags>();
  command
      ->add_option("--fast", flags->fast, "Fast memory: 512MiB, or 20% of the peak (learnt by a first run without it)")
      ->required();
  CLI::Option* const peak =
      command->add_option("--peak", flags->peak, "The peak that a share is taken of; a run prints it at its end");
  command
      ->add_option("--profile", flags->profile,
                   "A saved profile: a share is taken of its peak, and a program that marks its steps is planned by it")
      ->excludes(peak);
  command->add_option("--slow", flags->slow,
                      "file:DIR (default file:/var/tmp), numa:NODE, emulated:...\n"
                      "file:DIR,daily_writes=500GiB caps what each process writes in a day, "
                      "counted from the process's start");
  command->add_option("--planner", flags->planner, "lookahead (default), lagrangian, interval, first_touch, lru");
  command->add_option("--plan", flags->plan, "A plan saved before, for this budget and a program that marks its steps");
  command->add_option("--granule", flags->granule, "The unit that moves, 64KiB to 1GiB, a power of two");
  command->add_option("--threshold", flags->threshold, "The size from which an allocation is placed (256KiB)");
  command->add_option("--stats", flags->stats, "Keep what each process did: a line of JSON each");
  command->add_flag("--verify", flags->verify, "Checksum every granule that moves");
  command->add_flag("--no-children", flags->no_children, "Programs that COMMAND starts run without Thermocline");
  command->add_flag("--quiet", flags->quiet, "No line about the run at its end");
  command->add_option("COMMAND", flags->command, "The program and its arguments, after --")->required();
  SetExitAction(command, [flags] { return Run(*flags); });
}

}  // namespace thermocline::cli

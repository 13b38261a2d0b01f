#include "src/runtime/settings.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/arena/residency.h"
#include "src/base/parse_units.h"
#include "src/os/choose_memory.h"
#include "src/os/memory.h"
#include "src/plan/granule_for.h"
#include "src/plan/make_planner.h"
#include "src/profile/choose_gate.h"

namespace thermocline::runtime {
namespace {

constexpr int64_t kFewestFrames = arena::Residency::kFewestFrames;

// The option's text, or else the variable's; `source` names which, for messages.
struct Given {
  std::string text;
  std::string source;
};

Given Pick(const std::string& option, const char* option_name, const Environment& environment, const char* variable) {
  if (!option.empty()) return {option, option_name};
  if (std::optional<std::string> value = environment(variable); value.has_value() && !value->empty()) {
    return {*value, variable};
  }
  return {};
}

absl::Status In(const Given& given, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(given.source, ": ", status.message()));
}

// A mapping a granule: very large budgets need larger granules, or the kernel's limit on mappings is reached.
Bytes ChooseGranule(Bytes fast) {
  Bytes granule = plan::GranuleFor(fast);
  while (fast / granule > os::MostMappedFrames() && granule < GiB(1)) granule = granule * 2;
  return granule;
}

absl::Status ReadGranule(const RawSettings& raw, const Environment& environment, Settings* settings) {
  const std::string option = raw.granule_bytes == 0 ? "" : absl::StrCat(raw.granule_bytes);
  const Given given = Pick(option, "granule_bytes", environment, "THERMOCLINE_GRANULE");
  settings->granule_bytes = ChooseGranule(settings->fast);
  if (given.text.empty()) return absl::OkStatus();
  absl::StatusOr<Bytes> bytes = ParseBytes(given.text);
  if (!bytes.ok()) return In(given, bytes.status());
  if (*bytes < KiB(64) || *bytes > GiB(1) || !std::has_single_bit(static_cast<uint64_t>(bytes->count()))) {
    return absl::InvalidArgumentError(
        absl::StrCat(given.source, " is ", given.text, "; it must be a power of two from 64KiB to 1GiB"));
  }
  settings->granule_bytes = *bytes;
  return absl::OkStatus();
}

absl::Status AboveTheMachine(const Given& given, const os::MemoryLimit& memory) {
  if (memory.cgroup_file.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(given.source, " is ", given.text, ", but this machine has ",
                                                   FormatBytes(memory.bytes), " of memory; give less"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(given.source, " is ", given.text, ", but this process's cgroup may use ", FormatBytes(memory.bytes),
                   " of memory (", memory.cgroup_file, "); give less, or raise that limit"));
}

absl::Status ReadFast(const RawSettings& raw, const Environment& environment, const os::MemoryLimit& memory,
                      Settings* settings) {
  settings->most_fast = memory.bytes;
  const Given given = Pick(raw.fast, "fast", environment, "THERMOCLINE_FAST");
  if (given.text.empty()) {
    settings->fast = memory.bytes / 10 * 8;
    return absl::OkStatus();
  }
  absl::StatusOr<Budget> budget = ParseBudget(given.text);
  if (!budget.ok()) return In(given, budget.status());
  if (budget->fraction != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        given.source, " is ", given.text, ", a share of a peak that is not known here; give a size such as ",
        "512MiB, or use `thermocline run --fast ", given.text, " --peak SIZE`"));
  }
  settings->fast = budget->bytes;
  return settings->fast > memory.bytes ? AboveTheMachine(given, memory) : absl::OkStatus();
}

// A variable that turns something on.
absl::Status ReadSwitch(const Environment& environment, const char* name, bool* value) {
  const std::string text = environment(name).value_or("");
  if (text == "on" || text == "1") {
    *value = true;
  } else if (!text.empty() && text != "off" && text != "0") {
    return absl::InvalidArgumentError(absl::StrCat(name, " is '", text, "'; it must be on or off"));
  }
  return absl::OkStatus();
}

absl::Status ReadPlanner(const RawSettings& raw, const Environment& environment, Settings* settings) {
  const Given given = Pick(raw.planner, "planner", environment, "THERMOCLINE_PLANNER");
  if (given.text.empty()) return absl::OkStatus();
  if (absl::Status status = plan::MakePlanner(given.text).status(); !status.ok()) return In(given, status);
  settings->planner = given.text;
  return absl::OkStatus();
}

absl::Status ReadGivenPlan(const RawSettings& raw, const Environment& environment, Settings* settings) {
  const Given plan = Pick(raw.plan_in, "plan_in", environment, "THERMOCLINE_PLAN");
  const Given profile = Pick(raw.profile_in, "profile_in", environment, "THERMOCLINE_PROFILE");
  if (!plan.text.empty() && !profile.text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(plan.source, " and ", profile.source,
                                                   " are both given; give the plan to run by it, or the profile to "
                                                   "have one made for this budget"));
  }
  settings->plan_in = plan.text;
  settings->profile_in = profile.text;
  return absl::OkStatus();
}

absl::Status ReadKernelFaults(const RawSettings& raw, const Environment& environment, Settings* settings) {
  absl::Status held = ReadSwitch(environment, "THERMOCLINE_HELD_FRAMES", &settings->held_frames);
  if (!held.ok()) return held;
  const Given given = Pick(raw.kernel_faults, "kernel_faults", environment, "THERMOCLINE_KERNEL_FAULTS");
  if (given.text.empty()) return absl::OkStatus();
  if (absl::Status status = os::CheckKernelFaultsWish(given.text); !status.ok()) return In(given, status);
  if (given.text == "on" && settings->profiler == "userfaultfd") {
    return absl::InvalidArgumentError(
        absl::StrCat(given.source,
                     " is on, which the profiler userfaultfd can't be combined with; take another "
                     "profiler (THERMOCLINE_PROFILER=auto), or kernel faults off"));
  }
  settings->kernel_faults = given.text;
  return absl::OkStatus();
}

absl::Status ReadLink(const Environment& environment, Settings* settings) {
  const Given given = Pick("", "", environment, "THERMOCLINE_LINK");
  if (given.text.empty()) return absl::OkStatus();
  plan::TierSpec link;
  for (absl::string_view part : absl::StrSplit(given.text, ',')) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    absl::StatusOr<BytesPerSecond> rate = ParseBytesPerSecond(pair.second);
    if ((pair.first != "in" && pair.first != "out") || !rate.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("THERMOCLINE_LINK: '", part, "' is not understood; write it like in=2GB/s,out=1.5GB/s"));
    }
    BytesPerSecond& way = pair.first == "in" ? link.in : link.out;
    if (way.rate() > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("THERMOCLINE_LINK: '", pair.first, "' is given twice; give it once"));
    }
    way = *rate;
  }
  if (link.in.rate() == 0 || link.out.rate() == 0) {
    return absl::InvalidArgumentError("THERMOCLINE_LINK needs both in= and out=, like in=2GB/s,out=1.5GB/s");
  }
  settings->link = link;
  return absl::OkStatus();
}

std::vector<std::string> OwnCommandLine() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return absl::StrSplit(text, '\0');
}

std::string FileName(absl::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

}  // namespace

std::string ProgramName(const std::vector<std::string>& command_line) {
  if (command_line.empty()) return "";
  std::string name = FileName(command_line[0]);
  if (!absl::StartsWith(name, "python")) return name;
  const auto script = std::find_if(command_line.begin() + 1, command_line.end(),
                                   [](const std::string& word) { return absl::EndsWith(word, ".py"); });
  return script == command_line.end() ? name : FileName(*script);
}

Environment ProcessEnvironment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

absl::StatusOr<Settings> ReadSettings(const RawSettings& raw, const Environment& environment,
                                      const os::MemoryLimit& memory) {
  Settings settings;
  if (const std::string mode = environment("THERMOCLINE").value_or(""); mode == "off") {
    settings.pass_through = true;
  } else if (!mode.empty() && mode != "on") {
    return absl::InvalidArgumentError(absl::StrCat("THERMOCLINE is '", mode, "'; it must be on or off"));
  }
  if (absl::Status status = ReadFast(raw, environment, memory, &settings); !status.ok()) return status;
  if (absl::Status status = ReadGranule(raw, environment, &settings); !status.ok()) return status;
  if (settings.fast < settings.granule_bytes * kFewestFrames) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the fast budget is ", FormatBytes(settings.fast), "; at least ", kFewestFrames, " granules of ",
        FormatBytes(settings.granule_bytes), " are needed (", FormatBytes(settings.granule_bytes * kFewestFrames),
        "). Raise it, or make granules smaller with THERMOCLINE_GRANULE=64KiB"));
  }
  Given slow = Pick(raw.slow, "slow", environment, "THERMOCLINE_SLOW");
  if (slow.text.empty()) slow = {"file:/var/tmp", "the default slow tier"};
  settings.slow_text = slow.text;
  absl::StatusOr<tier::TierRequest> request = tier::ParseTierSpec(slow.text);
  if (!request.ok()) return In(slow, request.status());
  settings.slow = *request;
  if (absl::Status status = ReadPlanner(raw, environment, &settings); !status.ok()) return status;
  if (const Given profiler = Pick(raw.profiler, "profiler", environment, "THERMOCLINE_PROFILER");
      !profiler.text.empty()) {
    if (absl::Status status = profile::CheckGateName(profiler.text); !status.ok()) return In(profiler, status);
    settings.profiler = profiler.text;
  }
  settings.model = Pick(raw.model, "model", environment, "THERMOCLINE_MODEL").text;
  if (settings.model.empty()) settings.model = ProgramName(OwnCommandLine());
  if (absl::Status status = ReadKernelFaults(raw, environment, &settings); !status.ok()) return status;
  if (absl::Status status = ReadGivenPlan(raw, environment, &settings); !status.ok()) return status;
  if (absl::Status status = ReadSwitch(environment, "THERMOCLINE_VERIFY", &settings.verify); !status.ok())
    return status;
  settings.verify |= raw.verify;
  if (absl::Status status = ReadLink(environment, &settings); !status.ok()) return status;
  return settings;
}

}  // namespace thermocline::runtime

// Settings: what a runtime is made of, read from options and from the environment.
//
// Thread safety: pure functions of their arguments. Errors: absl::InvalidArgumentError naming the option or variable,
// its text, and what would be right.
#ifndef THERMOCLINE_RUNTIME_SETTINGS_H_
#define THERMOCLINE_RUNTIME_SETTINGS_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/units.h"
#include "src/os/memory.h"
#include "src/os/memory_limit.h"
#include "src/plan/migration_plan.h"
#include "src/tier/tier_spec.h"

namespace thermocline::runtime {

// As users give them; empty means: the environment's, else the default.
struct RawSettings {
  std::string fast;           // THERMOCLINE_FAST
  std::string slow;           // THERMOCLINE_SLOW
  std::string planner;        // THERMOCLINE_PLANNER
  std::string plan_in;        // THERMOCLINE_PLAN
  std::string profile_in;     // THERMOCLINE_PROFILE
  int64_t granule_bytes = 0;  // THERMOCLINE_GRANULE
  bool verify = false;        // THERMOCLINE_VERIFY=1
  std::string profiler;       // THERMOCLINE_PROFILER
  std::string model;          // THERMOCLINE_MODEL
  std::string kernel_faults;  // THERMOCLINE_KERNEL_FAULTS
};

struct Settings {
  Bytes fast;                              // the hard budget
  Bytes most_fast = os::PhysicalMemory();  // that it can be made: what this process may use
  tier::TierRequest slow;
  std::string slow_text;
  std::string planner = "lookahead";
  std::string plan_in;  // one of the two at most
  std::string profile_in;
  Bytes granule_bytes = MiB(2);
  bool verify = false;
  std::string profiler = "auto";       // how a profiled step sees touches: profile/choose_gate.h
  std::string kernel_faults = "auto";  // whether system calls wait for what is away: os/choose_memory.h
  bool held_frames = false;            // whether frames that the kernel holds are told, where that can be had
  bool pass_through = false;           // THERMOCLINE=off
  std::string model;                   // what run logs call it; else the program's name
  std::optional<plan::TierSpec> link;  // THERMOCLINE_LINK=in=..,out=..: known, so not measured at start

  // What a plan is had from at the start; "": nothing.
  const std::string& GivenFile() const { return plan_in.empty() ? profile_in : plan_in; }
};

// Reads a variable; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;
Environment ProcessEnvironment();

// What a program is called by its command line: its file's name, or its script's where an interpreter runs one.
std::string ProgramName(const std::vector<std::string>& command_line);

// `memory`: what the budget is held against.
absl::StatusOr<Settings> ReadSettings(const RawSettings& raw, const Environment& environment,
                                      const os::MemoryLimit& memory = os::FindMemoryLimit());

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_SETTINGS_H_

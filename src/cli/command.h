// How a subcommand of `thermocline` is made: one file each, with a function Register...(CLI::App&) that adds it.
//
// Exit status: 0 done, 1 failed, 2 wrong usage. What a subcommand computes goes to stdout (one JSON document with
// --json); progress, warnings and errors go to stderr. Each error says what, where, why and what to do.
// Thread safety: none; everything here runs on the main thread.
#ifndef THERMOCLINE_CLI_COMMAND_H_
#define THERMOCLINE_CLI_COMMAND_H_

#include <functional>
#include <string>

#include "CLI/App.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace thermocline::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

// An error of the command line rather than of what it names: exit status 2.
absl::Status UsageError(absl::string_view message);
bool IsUsageError(const absl::Status& status);

// What a subcommand does, once its flags are read. OK is exit status 0; an error becomes one message on stderr.
using Action = std::function<absl::Status()>;
void SetAction(CLI::App* subcommand, Action action);
// The same for one that chooses its exit status.
void SetExitAction(CLI::App* subcommand, std::function<absl::StatusOr<int>()> action);

// A line on stderr: "thermocline: MESSAGE".
void Warn(absl::string_view message);

// Each in a file of its name.
void RegisterDoctor(CLI::App& app);
void RegisterTiers(CLI::App& app);
void RegisterRun(CLI::App& app);
void RegisterProfile(CLI::App& app);
void RegisterTrace(CLI::App& app);
void RegisterPlan(CLI::App& app);
void RegisterSimulate(CLI::App& app);
void RegisterExplain(CLI::App& app);
void RegisterReport(CLI::App& app);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_COMMAND_H_

#include "src/cli/command.h"

#include <iostream>
#include <utility>

#include "CLI/Error.hpp"
#include "absl/strings/cord.h"

namespace thermocline::cli {
namespace {

constexpr char kUsagePayload[] = "thermocline/usage";

}  // namespace

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) { return status.GetPayload(kUsagePayload).has_value(); }

void Warn(absl::string_view message) { std::cerr << "thermocline: " << message << "\n"; }

void SetExitAction(CLI::App* subcommand, std::function<absl::StatusOr<int>()> action) {
  const std::string name = subcommand->get_name();
  subcommand->callback([name, action = std::move(action)] {
    const absl::StatusOr<int> result = action();
    std::cout.flush();
    if (!result.ok()) {
      Warn(result.status().message());
      if (IsUsageError(result.status())) std::cerr << "See: thermocline " << name << " --help\n";
      throw CLI::RuntimeError(IsUsageError(result.status()) ? kWrongUsage : kFailed);
    }
    if (!std::cout) {
      Warn("cannot write to the standard output; is the disk full?");
      throw CLI::RuntimeError(kFailed);
    }
    if (*result != kDone) throw CLI::RuntimeError(*result);
  });
}

void SetAction(CLI::App* subcommand, Action action) {
  SetExitAction(subcommand, [action = std::move(action)]() -> absl::StatusOr<int> {
    absl::Status status = action();
    if (!status.ok()) return status;
    return kDone;
  });
}

}  // namespace thermocline::cli

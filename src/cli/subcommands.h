// RegisterAll: adds every subcommand that was built (CMakeLists.txt lists them).
#ifndef THERMOCLINE_CLI_SUBCOMMANDS_H_
#define THERMOCLINE_CLI_SUBCOMMANDS_H_

#include "CLI/App.hpp"

namespace thermocline::cli {

void RegisterAll(CLI::App& app);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_SUBCOMMANDS_H_

// Runs a program to its end and keeps what it printed.
//
// Thread safety: may be called from any thread. Errors: a program that can't be started has exit status 127.
#ifndef THERMOCLINE_TESTS_CLI_SUBPROCESS_H_
#define THERMOCLINE_TESTS_CLI_SUBPROCESS_H_

#include <string>
#include <vector>

namespace thermocline::testing {

struct SubprocessResult {
  int exit_status = -1;  // 128 + the signal when one killed it
  std::string out;
  std::string err;
};

// `words` are the program and its arguments; no shell is involved.
SubprocessResult RunProgram(const std::vector<std::string>& words);
// The same with a terminal as its standard error, of which `err` is what came to it.
SubprocessResult RunProgramOnTerminal(const std::vector<std::string>& words);

}  // namespace thermocline::testing

#endif  // THERMOCLINE_TESTS_CLI_SUBPROCESS_H_

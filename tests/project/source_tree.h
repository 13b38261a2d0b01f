// What a checkout must keep to, as functions that return every place where it doesn't.
//
// Each takes the root of a checkout, so that a test can hand it a made-up one. Thread safety: pure functions of the
// files below the root. Errors: each fault is a line "file:line: what, why, what to do"; an unreadable file is one too.
#ifndef THERMOCLINE_TESTS_PROJECT_SOURCE_TREE_H_
#define THERMOCLINE_TESTS_PROJECT_SOURCE_TREE_H_

#include <filesystem>
#include <string>
#include <vector>

namespace thermocline::project {

using Faults = std::vector<std::string>;

// Includes across rooms. A file of src/ROOM includes only rooms before ROOM in `rooms`, and nothing of tests/, bench/
// or examples/; public headers include no internals; numbered examples include only public headers; every folder of
// src/ is one of `rooms`.
Faults LayeringFaults(const std::filesystem::path& root, const std::vector<std::string>& rooms);

// Rooms that a CMakeLists.txt below src/ROOM names after ROOMS must come before ROOM in `rooms`.
Faults TargetFaults(const std::filesystem::path& root, const std::vector<std::string>& rooms);

// The rooms of src/README.md's table, top to bottom: the first `code span/` of each row.
std::vector<std::string> RoomsOfReadme(const std::filesystem::path& root);

// What the last column of that table says that a room needs, held against what its files include: rooms as `code
// spans`, besides the room itself and the first of `rooms`.
Faults ReadmeNeedsFaults(const std::filesystem::path& root, const std::vector<std::string>& rooms);

// C and C++ headers without an opening comment (their contract) or whose include guard is not their path.
Faults HeaderFaults(const std::filesystem::path& root);

// Source files and scripts of more than `limit` lines.
Faults LengthFaults(const std::filesystem::path& root, int limit);

// Tests that are skipped without saying what they need: GTEST_SKIP() << "needs ...". scripts/test lists them.
Faults SkipFaults(const std::filesystem::path& root);

// Relative links of *.md that lead nowhere, and `code spans` that name a file below a top folder that doesn't exist.
Faults DocumentFaults(const std::filesystem::path& root);

// What programs say of their own accord: the string literals that begin with "thermocline: ", and those handed to
// Complain, in the .cc files of `folders`. Each must have its words in a `code span` of docs/troubleshooting.md, where
// words in capitals stand for any others.
Faults MessageFaults(const std::filesystem::path& root, const std::vector<std::string>& folders);

// The variables "THERMOCLINE_X" that the .cc files of src/ name in a string of their own, and docs/tuning.md does not.
Faults VariableFaults(const std::filesystem::path& root);

// Every "thermocline WORD" of the documents' code, WORD being a subcommand: "file:line" and WORD.
struct CommandMention {
  std::string place;
  std::string subcommand;
};
std::vector<CommandMention> CommandMentions(const std::filesystem::path& root);

}  // namespace thermocline::project

#endif  // THERMOCLINE_TESTS_PROJECT_SOURCE_TREE_H_

// The `thermocline` command.

#include <iostream>
#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/cli/command.h"
#include "src/cli/subcommands.h"
#include "src/cli/suggest.h"

namespace thermocline::cli {
namespace {

std::vector<std::string> SubcommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* subcommand : app.get_subcommands(nullptr)) names.push_back(subcommand->get_name());
  return names;
}

std::vector<std::string> FlagNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(absl::StrCat("--", name));
  }
  return names;
}

// The first word that the command line does not know, and what was probably meant; "" when it is something else.
std::string DescribeUnknownWord(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* level = &app;
  for (const std::string& word : words) {
    if (word == "--") break;
    if (absl::StartsWith(word, "--")) {
      const std::string flag = word.substr(0, word.find('='));
      const std::vector<std::string> flags = FlagNames(*level);
      if (std::find(flags.begin(), flags.end(), flag) != flags.end()) continue;
      const std::string near = Suggest(flag, flags);
      return absl::StrCat("'", level->get_name(), "' has no flag ", flag,
                          near.empty() ? "" : absl::StrCat("; did you mean ", near, "?"),
                          level->get_name() == "run" ? "; the command and its own flags come after --" : "");
    }
    const std::vector<std::string> names = SubcommandNames(*level);
    if (names.empty() || absl::StartsWith(word, "-")) continue;
    if (std::find(names.begin(), names.end(), word) != names.end()) {
      level = level->get_subcommand(word);
      continue;
    }
    const std::string near = word == "help" ? "--help" : Suggest(word, names);
    return absl::StrCat("'", level->get_name(), "' has no subcommand '", word, "'",
                        near.empty() ? "" : absl::StrCat("; did you mean '", near, "'?"));
  }
  return "";
}

// What the parser says, where it speaks of its own inside.
std::string InOurWords(const CLI::ParseError& error, const CLI::App& app) {
  const CLI::App* level = &app;
  while (!level->get_subcommands().empty()) level = level->get_subcommands().front();
  const absl::string_view text = error.what();
  if (const size_t at = text.find(": 1 required "); at != absl::string_view::npos) {
    return absl::StrCat(text.substr(0, at), " needs a value");
  }
  if (const size_t at = text.find(": At Most 1 required but received "); at != absl::string_view::npos) {
    return absl::StrCat(text.substr(0, at), " is given ", text.substr(text.rfind(' ') + 1), " times; give it once");
  }
  if (absl::StrContains(text, "not expected: ")) {
    return absl::StrCat("'", level->get_name(),
                        "' does not take this many arguments: ", text.substr(text.rfind(':') + 2));
  }
  if (absl::StrContains(text, "subcommand is required")) {
    return absl::StrCat("'", level->get_name(), "' needs a subcommand: ", absl::StrJoin(SubcommandNames(*level), ", "));
  }
  return std::string(text);
}

int WrongUsage(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& words) {
  std::string message = DescribeUnknownWord(app, words);
  if (message.empty()) message = InOurWords(error, app);
  std::string command = "thermocline";
  for (const CLI::App* level = &app; !level->get_subcommands().empty();) {
    level = level->get_subcommands().front();
    absl::StrAppend(&command, " ", level->get_name());
  }
  Warn(message);
  std::cerr << "See: " << command << " --help\n";
  return kWrongUsage;
}

int Main(int argc, char** argv) {
  CLI::App app("Thermocline places a network's tensors across fast and slow memory.", "thermocline");
  app.set_version_flag("--version", absl::StrCat("thermocline ", THERMOCLINE_VERSION), "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this and exit");
  app.require_subcommand(1);
  app.footer("Exit status: 0 done, 1 failed, 2 wrong usage. Results go to stdout, all else to stderr.");
  RegisterAll(app);
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& error) {
    return error.get_exit_code();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return WrongUsage(app, error, words);
  }
  return kDone;
}

}  // namespace
}  // namespace thermocline::cli

int main(int argc, char** argv) { return thermocline::cli::Main(argc, argv); }

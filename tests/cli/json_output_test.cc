// What the command prints as JSON is what docs/formats.md says, member by member: nothing else, and nothing less.
#include <regex>
#include <set>
#include <utility>

#include "nlohmann/json.hpp"
#include "tests/cli/cli_fixture.h"

namespace thermocline::testing {
namespace {

using ::testing::ContainerEq;
using ::testing::IsEmpty;
using ::testing::Not;

using Members = std::set<std::string>;

// "a", "a.b", "a[].b": every member of the document and of what is in it.
void AddMembers(const nlohmann::json& value, const std::string& path, Members* members) {
  if (value.is_array()) {
    for (const nlohmann::json& each : value) AddMembers(each, path + "[]", members);
  }
  if (!value.is_object()) return;
  for (const auto& [name, member] : value.items()) {
    const std::string at = path.empty() ? name : std::string(path).append(".").append(name);
    members->insert(at);
    AddMembers(member, at, members);
  }
}

class JsonOutput : public Cli {
 protected:
  // The names in the first column of the table below this heading.
  static Members Documented(const std::string& heading) {
    static const std::regex kName("`([^`]+)`");
    Members members;
    bool here = false;
    std::ifstream page(THERMOCLINE_FORMATS);
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with('#')) here = line == "### `thermocline " + heading + "`";
      if (!here || !line.starts_with("| `")) continue;
      const std::string cell = line.substr(2, line.find(" | ") - 2);
      for (std::sregex_iterator name(cell.begin(), cell.end(), kName), end; name != end; ++name) {
        members.insert((*name)[1]);
      }
    }
    return members;
  }

  static void AddPrinted(const std::vector<std::string>& words, Members* members) {
    const SubprocessResult result = Thermocline(words);
    ASSERT_EQ(result.exit_status, 0) << result.err;
    AddMembers(nlohmann::json::parse(result.out), "", members);
  }

  static void ExpectAsDocumented(const std::string& heading, const std::vector<std::vector<std::string>>& commands) {
    Members printed;
    for (const std::vector<std::string>& words : commands) AddPrinted(words, &printed);
    EXPECT_THAT(printed, ContainerEq(Documented(heading))) << heading << ": docs/formats.md says otherwise";
  }

  // The subcommands that have a flag --json, as their --help says: "doctor", "trace stats", ...
  static void AddThoseWithJson(const std::vector<std::string>& words, std::vector<std::string>* found) {
    static const std::regex kSubcommand("\n  ([a-z]+) ");
    std::vector<std::string> asked = words;
    asked.push_back("--help");
    const std::string help = Thermocline(asked).out;
    std::string name;
    for (const std::string& word : words) name += (name.empty() ? "" : " ") + word;
    if (help.find("--json") != std::string::npos) found->push_back(name);
    const size_t list = help.find("\nSubcommands:");
    if (list == std::string::npos) return;
    const std::string below = help.substr(list);
    for (std::sregex_iterator sub(below.begin(), below.end(), kSubcommand), end; sub != end; ++sub) {
      std::vector<std::string> longer = words;
      longer.push_back((*sub)[1]);
      AddThoseWithJson(longer, found);
    }
  }
};

TEST_F(JsonOutput, OfEveryCommandIsDocumented) {
  std::vector<std::string> commands;
  AddThoseWithJson({}, &commands);
  EXPECT_GE(commands.size(), 7);
  for (const std::string& command : commands) EXPECT_THAT(Documented(command + " --json"), Not(IsEmpty())) << command;
}

TEST_F(JsonOutput, OfDoctorIsAsDocumented) {
  ExpectAsDocumented("doctor --json",
                     {{"doctor", "--json"}, {"doctor", "--json", "--slow", "file:" + Path("nowhere")}});
}

TEST_F(JsonOutput, OfTiersIsAsDocumented) {
  const std::string slow = "emulated:in=2GB/s,out=1GB/s,capacity=64MiB";
  ExpectAsDocumented("tiers --json", {{"tiers", "--measure", "--json", "--slow", slow}});
}

TEST_F(JsonOutput, OfTracesAndProfilesIsAsDocumented) {
  const std::string trace = Fixture("traces/tiny_net.json");
  ExpectAsDocumented("trace stats --json", {{"trace", "stats", "--json", trace}});
  ExpectAsDocumented("trace validate --json", {{"trace", "validate", "--json", trace}});
  ExpectAsDocumented("profile show --json", {{"profile", "show", "--json", trace}});
}

TEST_F(JsonOutput, OfPlansAndSimulationsIsAsDocumented) {
  const std::string trace = Fixture("traces/tiny_net.json");
  ExpectAsDocumented("plan --json", {{"plan", "--trace", trace, "--fast", "100%", "-o", Path("plan.json"), "--json"}});
  ExpectAsDocumented("simulate --json", {{"simulate", "--trace", trace, "--fast", "100%", "--json"}});
}

TEST_F(JsonOutput, OfARunsProcessesIsAsDocumented) {
#ifdef THERMOCLINE_HAS_PRELOAD
  const std::string stats = Path("stats.jsonl");
  const SubprocessResult run =
      Thermocline({"run", "--fast", "16MiB", "--slow", "emulated:in=1GB/s,out=1GB/s", "--quiet", "--stats", stats, "--",
                   "dd", "if=/dev/zero", "of=/dev/null", "bs=8M", "count=2", "status=none"});
  ASSERT_EQ(run.exit_status, 0) << run.err;
  Members printed;
  AddMembers(nlohmann::json::parse(Read(stats)), "", &printed);
  EXPECT_THAT(printed, ContainerEq(Documented("run --stats FILE")));
#else
  GTEST_SKIP() << "needs a build with the preload library";
#endif
}

}  // namespace
}  // namespace thermocline::testing

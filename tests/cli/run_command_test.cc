#include <csignal>
#include <cstdlib>

#include "nlohmann/json.hpp"
#include "tests/cli/cli_fixture.h"

namespace thermocline::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using RunCommand = Cli;

// Reads 8 MiB blocks into memory of its own: dd's buffer is one large allocation.
const std::vector<std::string> kCopy = {"dd", "if=/dev/zero", "of=/dev/null", "bs=8M", "count=2", "status=none"};

std::vector<std::string> RunWith(std::vector<std::string> flags, const std::vector<std::string>& command) {
  flags.insert(flags.begin(), "run");
  flags.push_back("--");
  flags.insert(flags.end(), command.begin(), command.end());
  return flags;
}

TEST_F(RunCommand, PlacesTheAllocationsOfAnUnmodifiedProgram) {
  const SubprocessResult result = Thermocline(RunWith({"--fast", "16MiB", "--planner", "lru"}, kCopy));
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, AllOf(HasSubstr("thermocline: peak 8.0"), HasSubstr("of 16.0 MiB fast memory")));
}

TEST_F(RunCommand, SaysWhatADayOfItWritesToTheDisk) {
  std::vector<std::string> command = kCopy;
  command[3] = "bs=32M";
  command.push_back("iflag=fullblock");  // reads on until the buffer is full
  const SubprocessResult result = Thermocline(RunWith({"--fast", "16MiB", "--planner", "lru"}, command));
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr(" written a day at this rate), waited"));
}

TEST_F(RunCommand, KeepsTheStatisticsOfEachProcess) {
  const std::string stats = Path("stats.jsonl");
  ASSERT_EQ(
      Thermocline(RunWith({"--fast", "16MiB", "--planner", "lru", "--stats", stats, "--quiet"}, kCopy)).exit_status, 0);
  const auto json = nlohmann::json::parse(Read(stats));
  EXPECT_EQ(json["fast_budget_bytes"], 16 << 20);
  EXPECT_GE(json["peak_live_bytes"], 8 << 20);
}

TEST_F(RunCommand, TakesAShareOfAPeakThatIsGiven) {
  const SubprocessResult with = Thermocline(RunWith({"--fast", "20%", "--peak", "160MiB", "--planner", "lru"}, kCopy));
  EXPECT_EQ(with.exit_status, 0) << with.err;
  EXPECT_THAT(with.err, HasSubstr("of 32.0 MiB fast memory"));
}

TEST_F(RunCommand, LearnsThePeakOfACommandInItsFirstRun) {
  setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  std::vector<std::string> command = kCopy;
  command[3] = "bs=160M";
  const SubprocessResult first = Thermocline(RunWith({"--fast", "20%", "--planner", "lru"}, command));
  EXPECT_EQ(first.exit_status, 0) << first.err;
  EXPECT_THAT(first.err, AllOf(HasSubstr("this run learns it"), HasSubstr("--peak")));
  const SubprocessResult second = Thermocline(RunWith({"--fast", "20%", "--planner", "lru"}, command));
  EXPECT_EQ(second.exit_status, 0) << second.err;
  EXPECT_THAT(second.err, AllOf(Not(HasSubstr("this run learns it")), HasSubstr("fast memory")));
  command[4] = "count=1";
  EXPECT_THAT(Thermocline(RunWith({"--fast", "20%", "--planner", "lru"}, command)).err, HasSubstr("this run learns it"))
      << "another command has a peak of its own";
  unsetenv("XDG_CACHE_HOME");
}

TEST_F(RunCommand, StatisticsOfAnEarlierRunAreGone) {
  const std::string stats = Write("stats.jsonl", "{\"pid\": 1, \"peak_live_bytes\": 1000000000000}\n");
  Thermocline(RunWith({"--fast", "16MiB", "--planner", "lru", "--stats", stats, "--quiet"}, kCopy));
  EXPECT_THAT(Read(stats), Not(HasSubstr("1000000000000")));
}

TEST_F(RunCommand, OffPassesEverythingThrough) {
  setenv("THERMOCLINE", "off", 1);
  const std::string stats = Path("off.jsonl");
  const SubprocessResult result = Thermocline(RunWith({"--fast", "16MiB", "--stats", stats}, kCopy));
  unsetenv("THERMOCLINE");
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_THAT(Read(stats), IsEmpty());
}

TEST_F(RunCommand, PassesTheProgramsExitStatusOn) {
  EXPECT_EQ(Thermocline(RunWith({"--fast", "16MiB", "--quiet"}, {"sh", "-c", "exit 7"})).exit_status, 7);
  EXPECT_EQ(Thermocline(RunWith({"--fast", "16MiB", "--quiet"}, {"sh", "-c", "kill -TERM $$"})).exit_status,
            128 + SIGTERM);
}

TEST_F(RunCommand, GivesTheProgramItsArgumentsAndStreamsAsTheyAre) {
  const SubprocessResult result =
      Thermocline(RunWith({"--fast", "16MiB", "--quiet"}, {"printf", "%s|", "--fast", "a b", "", "--", "-h"}));
  EXPECT_EQ(result.out, "--fast|a b||--|-h|");
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(RunCommand, SaysThatNothingWasPlaced) {
  EXPECT_THAT(Thermocline(RunWith({"--fast", "16MiB"}, {"true"})).err, HasSubstr("nothing was placed"));
}

TEST_F(RunCommand, RefusesWrongSettingsBeforeTheProgramStarts) {
  struct Wrong {
    std::vector<std::string> flags;
    const char* says;
    int status;
  };
  const std::vector<Wrong> wrongs = {
      {{"--fast", "lots"}, "lots", 2},
      {{"--fast", "1MiB"}, "granules", 2},
      {{"--fast", "100000TiB"}, "this machine has", 2},
      {{"--fast", "20"}, "write 20% for a share of the peak", 2},
      {{"--fast", "16MiB", "--granule", "3MiB"}, "--granule is 3MiB", 2},
      {{"--fast", "16MiB", "--stats", "/no/such/directory/stats"}, "/no/such/directory/stats: can't be written", 1},
      {{"--fast", "16MiB", "--planner", "luck"}, "luck", 2},
      {{"--fast", "16MiB", "--threshold", "1"}, "--threshold", 2},
      {{"--fast", "16MiB", "--slow", "flie:/var/tmp"}, "--slow: slow tier 'flie:/var/tmp'", 2},
      {{"--fast", "16MiB", "--slow", "file:/no/such/directory"}, "/no/such/directory", 1},
      {{"--fast", "20%", "--profile", "/no/such/profile"}, "/no/such/profile", 1},
      {{"--fast", "16MiB", "--profile", "/no/such/profile"}, "/no/such/profile", 1},
      {{"--fast", "20%", "--profile", "profile.json", "--peak", "1GiB"}, "excludes", 2},
  };
  for (const Wrong& wrong : wrongs) {
    const SubprocessResult result = Thermocline(RunWith(wrong.flags, {"sh", "-c", "echo started"}));
    EXPECT_EQ(result.exit_status, wrong.status) << result.err;
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, HasSubstr(wrong.says));
  }
}

TEST_F(RunCommand, NamesTheVariableThatIsWrongWhereAFlagHasTheBeginningOfItsName) {
  setenv("THERMOCLINE_PLANNER", "luck", 1);
  const SubprocessResult result = Thermocline(RunWith({"--fast", "16MiB", "--plan", "plan.json"}, kCopy));
  unsetenv("THERMOCLINE_PLANNER");
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("THERMOCLINE_PLANNER"));
}

TEST_F(RunCommand, RefusesALinkOfWhichOneWayIsGivenTwice) {
  setenv("THERMOCLINE_LINK", "in=2GB/s,out=1GB/s,in=1GB/s", 1);
  const SubprocessResult result = Thermocline(RunWith({"--fast", "16MiB"}, {"true"}));
  unsetenv("THERMOCLINE_LINK");
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("'in' is given twice"));
}

TEST_F(RunCommand, SaysThatAProgramCannotBeStarted) {
  const SubprocessResult result = Thermocline(RunWith({"--fast", "16MiB"}, {"no-such-program-at-all"}));
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("no-such-program-at-all"), HasSubstr("No such file")));
}

TEST_F(RunCommand, TellsTheProgramsRuntimeToVerify) {
  const std::vector<std::string> command = {"sh", "-c", "echo verify=$THERMOCLINE_VERIFY"};
  EXPECT_EQ(Thermocline(RunWith({"--fast", "16MiB", "--quiet", "--verify"}, command)).out, "verify=1\n");
  EXPECT_EQ(Thermocline(RunWith({"--fast", "16MiB", "--quiet"}, command)).out, "verify=\n");
}

TEST_F(RunCommand, GivesTheProgramAProfileToPlanByButNotBesideAPlan) {
  const std::string profile = Write("net.json", R"({"version": 1, "layers": [{"seconds": 1}], "tensors": []})");
  const std::vector<std::string> command = {"sh", "-c", "echo profile=$THERMOCLINE_PROFILE"};
  const auto said = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--quiet", "--profile", profile});
    return Thermocline(RunWith(flags, command)).out;
  };
  EXPECT_EQ(said({"--fast", "16MiB"}), "profile=" + profile + "\n");
  EXPECT_EQ(said({"--fast", "16MiB", "--plan", "plan.json"}), "profile=\n");
  EXPECT_EQ(said({"--fast", "16MiB", "--planner", "lru"}), "profile=\n");
}

TEST_F(RunCommand, ChildrenCanBeLeftAlone) {
  EXPECT_THAT(Thermocline(RunWith({"--fast", "16MiB", "--quiet"}, {"sh", "-c", "env"})).out, HasSubstr("LD_PRELOAD="));
  EXPECT_THAT(Thermocline(RunWith({"--fast", "16MiB", "--quiet", "--no-children"}, {"sh", "-c", "env"})).out,
              Not(HasSubstr("LD_PRELOAD=")));
}

TEST_F(RunCommand, SaysOnceThatNeitherTierHasRoom) {
  std::vector<std::string> command = kCopy;
  command[3] = "bs=64M";
  const SubprocessResult result =
      Thermocline(RunWith({"--fast", "16MiB", "--slow", "emulated:in=1GB/s,out=1GB/s,capacity=16MiB"}, command));
  EXPECT_EQ(result.exit_status, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("no room in the fast and the slow tier for"));
  EXPECT_EQ(result.err.find("no room in"), result.err.rfind("no room in"));
}

TEST_F(RunCommand, LeavesNoFileBehind) {
  ASSERT_EQ(setenv("TMPDIR", folder_.c_str(), 1), 0);
  const SubprocessResult result =
      Thermocline(RunWith({"--fast", "16MiB", "--slow", "file:" + folder_.string()}, kCopy));
  unsetenv("TMPDIR");
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace thermocline::testing

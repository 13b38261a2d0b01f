#include "tests/cli/cli_fixture.h"

namespace thermocline::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

using Usage = Cli;

TEST_F(Usage, HelpAndVersionGoToStdoutAndAreNoFailure) {
  const SubprocessResult help = Thermocline({"--help"});
  EXPECT_EQ(help.exit_status, 0);
  EXPECT_THAT(help.err, IsEmpty());
  for (const char* word : {"profile", "trace", "Exit status"}) EXPECT_THAT(help.out, HasSubstr(word));
  const SubprocessResult version = Thermocline({"--version"});
  EXPECT_EQ(version.exit_status, 0);
  EXPECT_THAT(version.out, StartsWith("thermocline 0."));
  EXPECT_EQ(Thermocline({"trace", "stats", "--help"}).exit_status, 0);
  const std::string run = Thermocline({"run", "--help"}).out;
  for (const char* limit : {"for[ \n]+each[ \n]+process", "memory[ \n]+that[ \n]+no[ \n]+budget[ \n]+limits",
                            "each[ \n]+process[ \n]+writes[ \n]+in[ \n]+a[ \n]+day"}) {
    EXPECT_THAT(run, ContainsRegex(limit));
  }
}

TEST_F(Usage, WrongUsageIsExitStatusTwoAndSaysWhereHelpIs) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{}, {"trace"}, {"trace", "stats"}, {"trace", "stats", "a", "b"}, {"--no-such-flag"}}) {
    const SubprocessResult result = Thermocline(words);
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, HasSubstr("--help"));
  }
}

TEST_F(Usage, SuggestsWhatWasProbablyMeant) {
  EXPECT_THAT(Thermocline({"proflie"}).err, HasSubstr("did you mean 'profile'?"));
  EXPECT_THAT(Thermocline({"trace", "stat"}).err, HasSubstr("did you mean 'stats'?"));
  EXPECT_THAT(Thermocline({"trace", "stats", "--jsn", "x"}).err, HasSubstr("did you mean --json?"));
  EXPECT_EQ(Thermocline({"trace", "stats", "--jsn", "x"}).exit_status, 2);
  EXPECT_THAT(Thermocline({"elephant"}).err, HasSubstr("has no subcommand 'elephant'"));
  EXPECT_THAT(Thermocline({"elephant"}).err, Not(HasSubstr("did you mean")));
}

TEST_F(Usage, SaysInWordsWhatIsMissingOrTooMuch) {
  EXPECT_THAT(Thermocline({"trace"}).err, HasSubstr("'trace' needs a subcommand: stats, validate"));
  EXPECT_THAT(Thermocline({"tiers", "--slow"}).err, HasSubstr("--slow needs a value"));
  EXPECT_THAT(Thermocline({"tiers", "extra"}).err, HasSubstr("'tiers' does not take this many arguments: extra"));
  EXPECT_THAT(Thermocline({"help"}).err, HasSubstr("did you mean '--help'?"));
  EXPECT_THAT(Thermocline({"run", "--fast", "64MiB"}).err, HasSubstr("COMMAND is required"));
}

TEST_F(Usage, AForgottenDashDashIsNamed) {
  EXPECT_THAT(Thermocline({"run", "--fast", "64MiB", "python3", "train.py", "--epochs", "3"}).err,
              HasSubstr("'run' has no flag --epochs; the command and its own flags come after --"));
}

TEST_F(Usage, ADirectoryAloneIsNoSlowTierAndItIsSaidHowToWriteIt) {
  EXPECT_THAT(Thermocline({"tiers", "--slow", "/var/tmp"}).err, HasSubstr("a directory is written file:/var/tmp"));
}

TEST_F(Usage, AFullDiskIsAFailureAndNotSilence) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "needs /dev/full";
  const SubprocessResult result = RunProgram(
      {"/bin/sh", "-c", "\"$0\" trace stats \"$1\" > /dev/full", THERMOCLINE_BINARY, Fixture("traces/tiny_net.json")});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("standard output"));
}

}  // namespace
}  // namespace thermocline::testing

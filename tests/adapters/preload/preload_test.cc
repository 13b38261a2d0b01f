// Runs the scenarios, programs that know nothing of Thermocline, under the preload library with tiny budgets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/cli/subprocess.h"

namespace thermocline::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kBudget = 2 << 20;

class Preload : public ::testing::Test {
 protected:
  Preload() : stats_(::testing::TempDir() + "preload_stats_" + std::to_string(getpid())) { unlink(stats_.c_str()); }
  ~Preload() override { unlink(stats_.c_str()); }

  SubprocessResult Run(const std::vector<std::string>& command, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"env",
                                      std::string("LD_PRELOAD=") + THERMOCLINE_PRELOAD,
                                      "THERMOCLINE_FAST=" + std::to_string(kBudget),
                                      "THERMOCLINE_GRANULE=64KiB",
                                      "THERMOCLINE_PLANNER=lru",
                                      "THERMOCLINE_STATS=" + stats_};
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), command.begin(), command.end());
    return RunProgram(words);
  }
  SubprocessResult Scenario(const std::string& name, const std::vector<std::string>& more = {}) const {
    return Run({THERMOCLINE_SCENARIOS, name}, more);
  }

  // A line a process that placed something.
  std::vector<nlohmann::json> Stats() const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(stats_);
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  void ExpectRightAndWithinBudget(const std::string& name) const {
    const SubprocessResult result = Scenario(name);
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_EQ(result.out, "all right\n");
    const auto stats = Stats();
    ASSERT_EQ(stats.size(), 1) << "the process placed nothing";
    EXPECT_GT(stats[0]["bytes_out"], 0) << "nothing was evicted, so nothing was tested";
    EXPECT_GE(stats[0].at("written_per_day_bytes"), stats[0]["bytes_out"]) << "it took less than a day";
    EXPECT_LE(stats[0]["peak_fast_bytes"], kBudget);
  }

  std::string stats_;
};

struct Named {
  const char* scenario;
  const char* sentence;
};

class Behaviour : public Preload, public ::testing::WithParamInterface<Named> {};

TEST_P(Behaviour, IsAsWithoutThermocline) {
  // First as it is without: a scenario that asks for something else would prove nothing.
  if (std::string(GetParam().scenario) != "DoubleFree" && std::string(GetParam().scenario) != "RawCall" &&
      std::string(GetParam().scenario) != "Advice" && std::string(GetParam().scenario) != "ReadWithFullBudget") {
    const SubprocessResult plain = RunProgram({THERMOCLINE_SCENARIOS, GetParam().scenario});
    ASSERT_EQ(plain.exit_status, 0) << plain.err;
  }
  ExpectRightAndWithinBudget(GetParam().scenario);
}

INSTANTIATE_TEST_SUITE_P(
    Preload, Behaviour,
    ::testing::Values(
        Named{"Integrity", "BlocksKeepTheirBytes"}, Named{"Threads", "ThreadsResizeAndCheckEachTheirOwn"},
        Named{"Resizing", "ReallocKeepsTheBytesAcrossTheThreshold"}, Named{"Zeroes", "CallocZeroesReusedFrames"},
        Named{"Alignments", "EveryAlignmentIsKept"}, Named{"DoubleFree", "ADoubleFreeDoesNoHarm"},
        Named{"ForkedCopies", "ParentAndChildSeeNothingOfEachOther"},
        Named{"ForkedAllocations", "AForkedChildAllocatesAndFrees"}, Named{"Advice", "AdviceDoesNotSplitFrames"},
        Named{"LockedMemory", "MlockKeepsMemoryFast"}, Named{"ThreadStack", "AStackStaysResident"},
        Named{"Overflows", "ImpossibleSizesAreRefused"}, Named{"RawCall", "ARawCallFailsAndChangesNoByte"},
        Named{"Reads", "ReadsFillEvictedBuffers"}, Named{"Writes", "WritesTakeEvictedBuffers"},
        Named{"Streams", "StreamsFillAndTakeEvictedBuffers"}, Named{"StreamBuffer", "AStreamMayBeGivenAPlacedBuffer"},
        Named{"Sockets", "SocketsFillAndTakeEvictedBuffers"}, Named{"RandomBytes", "RandomBytesFillEvictedBuffers"},
        Named{"ReadWithFullBudget", "CallsWorkWhereNothingMoreCanBePinned"},
        Named{"ShortReads", "ShortCountsStayShort"}, Named{"FileReads", "EachCallThatReadsAFileFillsEvictedBuffers"},
        Named{"FileWrites", "EachCallThatWritesAFileTakesEvictedBuffers"},
        Named{"StreamReads", "EachCallOnAStreamFillsOrTakesThem"},
        Named{"StreamBuffers", "EachCallMayGiveAStreamAPlacedBuffer"},
        Named{"Datagrams", "EachCallOnADatagramFillsOrTakesThem"},
        Named{"Messages", "OfManyMessagesEachMayLieInEvictedBuffers"},
        Named{"CheckedBuffers", "ABufferThatIsTooSmallEndsACheckedProgram"},
        Named{"HandlerBefore", "AHandlerInstalledBeforeGetsWildFaults"},
        Named{"HandlerAfter", "AHandlerInstalledAfterwardsGetsWildFaults"},
        Named{"HandlerSeen", "AProgramSeesTheHandlersThatItSet"},
        Named{"BlockedEverything", "BlockedSignalsDoNotBlockFaults"},
        Named{"BlockedInAThread", "AThreadThatBlocksFaultsTouchesEvictedMemory"},
        Named{"MaskCalls", "NoCallThatBlocksSignalsBlocksFaults"},
        Named{"WaitCalls", "AHandlerOutOfAWaitTouchesEvictedMemory"},
        Named{"MaskOfAThreadToCome", "AThreadMadeWithFaultsBlockedTouchesItToo"},
        Named{"OldHandlerAfter", "AHandlerInstalledBySignalGetsWildFaults"},
        Named{"HandlerMask", "AHandlerWithAFullMaskTouchesEvictedMemory"}),
    [](const auto& parameter) { return std::string(parameter.param.sentence); });

TEST_F(Preload, AWildPointerKillsByItsSignal) {
  EXPECT_EQ(Scenario("WildPointer").exit_status, 128 + SIGSEGV);
  EXPECT_EQ(Scenario("SentSignal").exit_status, 128 + SIGSEGV);
}

TEST_F(Preload, AProgramWithARhythmIsPlacedByPlanAndKeepsItsBytes) {
  const SubprocessResult result = Scenario("Rhythm", {"THERMOCLINE_PLANNER=lookahead"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "all right\n");
  EXPECT_THAT(result.err, HasSubstr("rhythm found: 48 large allocations a step"));
  const auto stats = Stats();
  ASSERT_EQ(stats.size(), 1);
  EXPECT_GE(stats[0]["rhythm"]["placed_steps"], 4) << stats[0];
  EXPECT_GE(stats[0]["matched_allocations"], 4 * 48) << stats[0];
  EXPECT_EQ(stats[0]["mismatched_allocations"], 0);
  EXPECT_LE(stats[0]["peak_fast_bytes"], kBudget);
}

TEST_F(Preload, AProgramWithoutARhythmRunsByDemand) {
  const SubprocessResult result = Scenario("Integrity", {"THERMOCLINE_PLANNER=lookahead"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const auto stats = Stats();
  ASSERT_EQ(stats.size(), 1);
  EXPECT_EQ(stats[0]["rhythm"]["placed_steps"], 0) << stats[0];
}

TEST_F(Preload, ADoubleFreeIsSaidOnce) {
  const SubprocessResult result = Scenario("DoubleFree");
  EXPECT_THAT(result.err, HasSubstr("freed before"));
  const size_t said = result.err.find("did nothing");
  ASSERT_NE(said, std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("did nothing", said + 1), std::string::npos) << result.err;
}

TEST_F(Preload, OffPlacesNothing) {
  const SubprocessResult result = Scenario("Integrity", {"THERMOCLINE=off"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(Stats(), IsEmpty());
}

TEST_F(Preload, AThresholdAboveEverySizePlacesNothing) {
  const SubprocessResult result = Scenario("Integrity", {"THERMOCLINE_THRESHOLD=64MiB"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(Stats(), IsEmpty());
}

TEST_F(Preload, WrongSettingsAreSaidAndTheProgramRunsAllTheSame) {
  const SubprocessResult result = Scenario("Integrity", {"THERMOCLINE_SLOW=flie:/var/tmp"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.out, "all right\n");
  EXPECT_THAT(result.err, HasSubstr("flie:/var/tmp"));
  EXPECT_THAT(Scenario("Integrity", {"THERMOCLINE_THRESHOLD=tiny"}).err, HasSubstr("THERMOCLINE_THRESHOLD"));
}

TEST_F(Preload, AnEmulatedTierServesAsWell) {
  const SubprocessResult result =
      Scenario("Threads", {"THERMOCLINE_SLOW=emulated:in=20GB/s,out=20GB/s,capacity=256MiB"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
}

TEST_F(Preload, EveryGranuleCanBeVerified) {
  const SubprocessResult result = Scenario("Integrity", {"THERMOCLINE_VERIFY=1"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
}

TEST_F(Preload, ProgramsThatAreStartedArePlacedTooUnlessToldOtherwise) {
  const std::string command = std::string(THERMOCLINE_SCENARIOS) + " Integrity; exit $?";
  ASSERT_EQ(Run({"sh", "-c", command}).exit_status, 0);
  EXPECT_EQ(Stats().size(), 1);
  unlink(stats_.c_str());
  const SubprocessResult result = Run({"sh", "-c", command + "; echo preload=$LD_PRELOAD"}, {"THERMOCLINE_CHILDREN=0"});
  ASSERT_EQ(result.exit_status, 0);
  EXPECT_THAT(Stats(), IsEmpty());
}

TEST_F(Preload, OtherPreloadedLibrariesStay) {
  const SubprocessResult result = RunProgram({"env", std::string("LD_PRELOAD=libm.so.6:") + THERMOCLINE_PRELOAD,
                                              "THERMOCLINE_CHILDREN=0", "sh", "-c", "env | grep ^LD_PRELOAD"});
  EXPECT_EQ(result.out, "LD_PRELOAD=libm.so.6\n") << result.err;
}

TEST_F(Preload, ProgramsOfTheSystemRunAsBefore) {
  EXPECT_EQ(Run({"sh", "-c", "seq 200000 | sort -rn | head -1"}).out, "200000\n");
  EXPECT_EQ(Run({"dd", "if=/dev/zero", "of=/dev/null", "bs=8M", "count=4", "status=none"}).exit_status, 0);
}

}  // namespace
}  // namespace thermocline::testing

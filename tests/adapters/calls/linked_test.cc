// Runs the scenarios as a program that is linked with libthermocline.so: its tensors are away when the kernel reads and
// writes them, and its handlers and masks are set with the runtime there. Alone, and with the preload library in front,
// whose C API is then the program's. The kernel waits for nothing (THERMOCLINE_KERNEL_FAULTS=off), as without
// privilege.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <tuple>
#include <vector>

#include "tests/cli/subprocess.h"

namespace thermocline::testing {
namespace {

SubprocessResult RunLinked(const std::string& scenario, bool preloaded, const std::string& mode = "on") {
  std::vector<std::string> words = {"env",
                                    "THERMOCLINE=" + mode,
                                    "THERMOCLINE_FAST=2MiB",
                                    "THERMOCLINE_SLOW=file:/var/tmp",
                                    "THERMOCLINE_GRANULE=64KiB",
                                    "THERMOCLINE_PLANNER=lru",
                                    "THERMOCLINE_KERNEL_FAULTS=off"};
  if (preloaded) words.push_back(std::string("LD_PRELOAD=") + THERMOCLINE_PRELOAD);
  words.insert(words.end(), {THERMOCLINE_LINKED_SCENARIOS, scenario});
  return RunProgram(words);
}

struct Named {
  const char* scenario;
  const char* sentence;
};

class LinkedProgram : public ::testing::TestWithParam<std::tuple<bool, Named>> {};

TEST_P(LinkedProgram, IsAsWithoutThermocline) {
  const auto& [preloaded, named] = GetParam();
  const SubprocessResult result = RunLinked(named.scenario, preloaded);
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "all right\n");
}

INSTANTIATE_TEST_SUITE_P(
    Calls, LinkedProgram,
    ::testing::Combine(::testing::Bool(),
                       ::testing::Values(Named{"RawCall", "ARawCallFailsAndChangesNoByte"},
                                         Named{"Reads", "ReadsFillEvictedTensors"},
                                         Named{"Writes", "WritesTakeEvictedTensors"},
                                         Named{"Streams", "StreamsFillAndTakeEvictedTensors"},
                                         Named{"StreamBuffer", "AStreamMayBeGivenATensorAsBuffer"},
                                         Named{"Sockets", "SocketsFillAndTakeEvictedTensors"},
                                         Named{"RandomBytes", "RandomBytesFillEvictedTensors"},
                                         Named{"ReadWithFullBudget", "CallsWorkWhereNothingMoreCanBePinned"},
                                         Named{"ShortReads", "ShortCountsStayShort"},
                                         Named{"FileReads", "EachCallThatReadsAFileFillsEvictedTensors"},
                                         Named{"FileWrites", "EachCallThatWritesAFileTakesEvictedTensors"},
                                         Named{"StreamReads", "EachCallOnAStreamFillsOrTakesThem"},
                                         Named{"StreamBuffers", "EachCallMayGiveAStreamATensorAsBuffer"},
                                         Named{"Datagrams", "EachCallOnADatagramFillsOrTakesThem"},
                                         Named{"Messages", "OfManyMessagesEachMayLieInEvictedTensors"},
                                         Named{"CheckedBuffers", "ABufferThatIsTooSmallEndsACheckedProgram"},
                                         Named{"NothingToMove", "CallsWithoutBytesAreMadeAllTheSame"},
                                         Named{"OfferedTooMuch", "ABufferMayBeSaidToBeLongerThanItsTensor"},
                                         Named{"NoTensor", "AWildPointerAmongTensorsIsAnErrorOfTheCall"},
                                         Named{"SeveralRuntimes", "EachRuntimesTensorsAreServedByTheirOwn"},
                                         Named{"RuntimesComeAndGo", "RuntimesComeAndGoWhileCallsAreMade"},
                                         Named{"ForkedChild", "AForkedChildReadsIntoItsCopies"},
                                         Named{"HandlerBefore", "AHandlerInstalledBeforeGetsWildFaults"},
                                         Named{"HandlerAfter", "AHandlerInstalledAfterwardsGetsWildFaults"},
                                         Named{"OldHandlerAfter", "AHandlerInstalledBySignalGetsWildFaults"},
                                         Named{"HandlerSeen", "AProgramSeesTheHandlersThatItSet"},
                                         Named{"BlockedEverything", "BlockedSignalsDoNotBlockFaults"},
                                         Named{"BlockedInAThread", "AThreadThatBlocksFaultsTouchesEvictedTensors"},
                                         Named{"MaskCalls", "NoCallThatBlocksSignalsBlocksFaults"},
                                         Named{"WaitCalls", "AHandlerOutOfAWaitTouchesEvictedTensors"},
                                         Named{"MaskOfAThreadToCome", "AThreadMadeWithFaultsBlockedTouchesThemToo"},
                                         Named{"HandlerMask", "AHandlerWithAFullMaskTouchesEvictedTensors"})),
    [](const auto& parameter) {
      return std::string(std::get<1>(parameter.param).sentence) + (std::get<0>(parameter.param) ? "Preloaded" : "");
    });

TEST(ALinkedProgram, IsKilledByAWildPointerAsEver) {
  EXPECT_EQ(RunLinked("WildPointer", false).exit_status, 128 + SIGSEGV);
  EXPECT_EQ(RunLinked("SentSignal", false).exit_status, 128 + SIGSEGV);
}

TEST(ALinkedProgram, IsLeftAloneWhereThermoclineIsOff) {
  const SubprocessResult result = RunLinked("StraightThrough", false, "off");
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "all right\n");
}

TEST(ALinkedProgram, IsLeftAloneUntilItsFirstRuntime) {
  const SubprocessResult result = RunLinked("FromBefore", false);
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "all right\n");
}

}  // namespace
}  // namespace thermocline::testing

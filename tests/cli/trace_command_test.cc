#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "nlohmann/json.hpp"
#include "tests/cli/cli_fixture.h"

namespace thermocline::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

using TraceCommand = Cli;

TEST_F(TraceCommand, StatsAsJsonAreOneDocumentWithTheTracesNumbers) {
  const SubprocessResult result = Thermocline({"trace", "stats", Fixture("traces/tiny_net.json"), "--json"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["layers"], 6);
  EXPECT_EQ(json["tensors"]["count"], 9);
  EXPECT_EQ(json["persistent"]["bytes"], 6 << 20);
  EXPECT_EQ(json["short_lived"]["count"], 3);
  EXPECT_DOUBLE_EQ(json["seconds"], 0.09);
  EXPECT_EQ(json["peak_bytes"], (6 + 48 + 8) << 20);
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(TraceCommand, ProfileShowListsLayersAndTensors) {
  const SubprocessResult result = Thermocline({"profile", "show", Fixture("traces/tiny_net.json"), "--tensors", "3"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("conv3.backward"));
  EXPECT_THAT(result.out, HasSubstr("The largest 3 of 9 tensors"));
  const SubprocessResult json = Thermocline({"profile", "show", Fixture("traces/tiny_net.json"), "--json"});
  EXPECT_EQ(nlohmann::json::parse(json.out)["layers"][2]["alive_bytes"], (6 + 48 + 8) << 20);
}

TEST_F(TraceCommand, ABadFileIsExitStatusOneWithTheLineAndTheReason) {
  const std::string path = Write("bad.json", "{\"version\": 1,\n \"layers\": [{\"seconds\": -1}], \"tensors\": []}");
  const SubprocessResult result = Thermocline({"trace", "validate", path});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("bad.json:2:25: layer 0 has -1 in \"seconds\""));
  const SubprocessResult absent = Thermocline({"trace", "validate", Path("absent.json")});
  EXPECT_EQ(absent.exit_status, 1);
  EXPECT_THAT(absent.err, HasSubstr("absent.json: open failed"));
}

// A file that takes over two seconds to read.
TEST_F(TraceCommand, OnATerminalItSaysThatReadingTakesLongAndElsewhereNothing) {
  const std::string pipe = Path("slow.json");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const bool terminal : {true, false}) {
    std::thread writer([&] {
      const std::string text = Read(Fixture("traces/tiny_net.json"));
      std::ofstream to(pipe, std::ios::binary);  // opens once it is read from
      std::this_thread::sleep_for(std::chrono::milliseconds(2500));
      to << text;
    });
    const std::vector<std::string> words = {THERMOCLINE_BINARY, "trace", "validate", pipe};
    const SubprocessResult result = terminal ? RunProgramOnTerminal(words) : RunProgram(words);
    writer.join();
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("a trace of format 1"));
    if (terminal) {
      EXPECT_THAT(result.err, HasSubstr("2 s  reading "));
    } else {
      EXPECT_THAT(result.err, IsEmpty());
    }
  }
}

TEST_F(TraceCommand, ControlCharactersInNamesDoNotReachTheTerminal) {
  const std::string path =
      Write("esc.json", R"({"version":1,"model":"\u001b[2J","layers":[{"name":"a\u001b]0;x\u0007",)"
                        R"("seconds":0}],"tensors":[]})");
  const SubprocessResult result = Thermocline({"profile", "show", path});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace thermocline::testing

#include <map>

#include "nlohmann/json.hpp"
#include "tests/cli/cli_fixture.h"

namespace thermocline::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using MachineCommand = Cli;

TEST_F(MachineCommand, DoctorSaysWhatEachProbeWasAnswered) {
  const SubprocessResult result = Thermocline({"doctor"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("io_uring_setup"), HasSubstr("userfaultfd"), HasSubstr("probes were granted"),
                                HasSubstr("Slow tier: file:/var/tmp")));
}

TEST_F(MachineCommand, DoctorPrintsOneJsonDocument) {
  const SubprocessResult result = Thermocline({"doctor", "--json"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_GE(json["sections"].size(), 5);
  EXPECT_TRUE(json["slow"]["usable"].is_boolean());
}

TEST_F(MachineCommand, DoctorSaysOfAMissingSlowDirectoryThatItCannotBeUsed) {
  const SubprocessResult result = Thermocline({"doctor", "--slow", "file:" + Path("nowhere")});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("can't be used"), HasSubstr(Path("nowhere"))));
}

TEST_F(MachineCommand, TiersListsTheMemoryOfThisMachine) {
  const SubprocessResult result = Thermocline({"tiers", "--json"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  ASSERT_GE(json["nodes"].size(), 1);
  EXPECT_EQ(json["slow"]["spec"], "file:/var/tmp");
  EXPECT_TRUE(json["slow"]["in_bytes_per_second"].is_null());
}

TEST_F(MachineCommand, TiersSaysWhatIsByteAddressable) {
  for (const auto& [spec, addressable] :
       std::map<std::string, bool>{{"file:/var/tmp,capacity=64MiB", false},
                                   {"emulated:in=2GB/s,out=1GB/s,capacity=64MiB", false},
                                   {"emulated:in=2GB/s,out=1GB/s,capacity=64MiB,addressable=yes", true}}) {
    const SubprocessResult result = Thermocline({"tiers", "--json", "--slow", spec});
    ASSERT_EQ(result.exit_status, 0) << result.err;
    EXPECT_EQ(nlohmann::json::parse(result.out)["slow"]["byte_addressable"], addressable) << spec;
  }
}

TEST_F(MachineCommand, FastMemoryIsNoSlowTier) {
  if (std::filesystem::exists("/sys/devices/system/node/node1")) GTEST_SKIP() << "needs a machine with one memory node";
  const SubprocessResult run = Thermocline({"run", "--fast", "64MiB", "--slow", "numa:0", "--", "true"});
  EXPECT_EQ(run.exit_status, 1);
  EXPECT_THAT(run.err, HasSubstr("fast and slow would be the same memory"));
  EXPECT_THAT(Thermocline({"doctor", "--slow", "numa:0"}).out, HasSubstr("numa:0 can't be used"));
  EXPECT_THAT(Thermocline({"tiers", "--slow", "numa:0"}).out, HasSubstr("the same memory"));
}

TEST_F(MachineCommand, TiersTakesAnEmulatedTiersWordForItsSpeed) {
  const SubprocessResult result =
      Thermocline({"tiers", "--json", "--slow", "emulated:in=2GB/s,out=1GB/s,capacity=1GiB"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out)["slow"]["in_bytes_per_second"], 2e9);
}

TEST_F(MachineCommand, MeasuringGivesEveryFigure) {
  const SubprocessResult result =
      Thermocline({"tiers", "--measure", "--json", "--slow", "file:/var/tmp,capacity=256MiB"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, IsEmpty());  // progress is for terminals
  const auto json = nlohmann::json::parse(result.out);
  for (const auto& node : json["nodes"]) {
    EXPECT_EQ(node["read_bytes_per_second"]["source"], "measured") << node;
    EXPECT_GT(node["latency_seconds"]["value"], 0);
  }
  EXPECT_GT(json["slow"]["in_bytes_per_second"], 1e6);
  EXPECT_GT(json["slow"]["out_bytes_per_second"], 1e6);
}

TEST_F(MachineCommand, AWrongSlowTierIsWrongUsage) {
  for (const char* command : {"doctor", "tiers"}) {
    const SubprocessResult result = Thermocline({command, "--slow", "flie:/var/tmp"});
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, AllOf(HasSubstr("flie:/var/tmp"), HasSubstr("file:DIR")));
  }
}

}  // namespace
}  // namespace thermocline::testing

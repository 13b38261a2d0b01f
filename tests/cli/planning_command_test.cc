#include "nlohmann/json.hpp"
#include "tests/cli/cli_fixture.h"

namespace thermocline::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PlanningCommand : public Cli {
 protected:
  // With granules that suit a net of 62 MiB.
  SubprocessResult OnTinyNet(std::vector<std::string> words) {
    for (const char* word : {"--granule", "1MiB", "--trace"}) words.emplace_back(word);
    words.push_back(Fixture("traces/tiny_net.json"));
    return Thermocline(words);
  }
};

TEST_F(PlanningCommand, SimulateComparesEveryPolicyAtEveryBudget) {
  const SubprocessResult result = OnTinyNet({"simulate", "--fast", "80%,100%,128MiB", "--policy", "all", "--json"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["peak_bytes"], 62 << 20);
  EXPECT_DOUBLE_EQ(json["machine"]["slow"][0]["in_bytes_per_second"], 1.3e9) << "the default is an SSD";
  ASSERT_EQ(json["results"].size() % 3, 0);
  std::map<std::string, std::map<int64_t, double>> seconds;
  for (const auto& row : json["results"]) {
    seconds[row["policy"]][row["budget_bytes"]] = row["seconds"];
    EXPECT_EQ(row["exposed_seconds_per_layer"].size(), 6);
  }
  EXPECT_NEAR(seconds["lookahead"][128 << 20], 0.09, 1e-9);
  EXPECT_LE(seconds["lookahead"][int64_t{52009370}], seconds["lru"][int64_t{52009370}] + 1e-12);
  const SubprocessResult table = OnTinyNet({"simulate", "--fast", "80%", "--policy", "lru,lookahead"});
  EXPECT_THAT(table.out, HasSubstr("80.0%"));
}

TEST_F(PlanningCommand, GranulesAreThoseThatARunWithTheBudgetWouldHave) {
  const std::string plan = Path("plan.json");
  const SubprocessResult result = Thermocline({"plan", "--json", "--trace", Fixture("traces/tiny_net.json"),
                                               "--planner", "lru", "-o", plan, "--fast", "12MiB"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out)["granule_bytes"], 1 << 20);
  EXPECT_THAT(Thermocline({"plan", "--trace", Fixture("traces/tiny_net.json"), "-o", plan, "--fast", "100MiB",
                           "--granule", "3MiB"})
                  .err,
              HasSubstr("--granule 3MiB: it must be a power of two"));
}

TEST_F(PlanningCommand, ComputeScaleMakesLayersFaster) {
  const SubprocessResult result = OnTinyNet(
      {"simulate", "--fast", "200%", "--policy", "lru", "--compute", "scale=2", "--json", "--slow", "cxl:in=10GB/s"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_NEAR(json["compute_seconds"], 0.045, 1e-9);
  EXPECT_EQ(json["machine"]["slow"][0]["name"], "cxl");
}

TEST_F(PlanningCommand, WrongFlagsAreExitStatusTwoAndNameTheirText) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"simulate", "--fast", "lots"},
                                                {"simulate", "--fast", "20%", "--policy", "magic"},
                                                {"simulate", "--fast", "20%", "--slow", "ssd:in=magic"},
                                                {"simulate", "--fast", "20%", "--compute", "magic=1"},
                                                {"plan", "--fast", "20%", "--planner", "magic", "-o", "x"},
                                                {"plan", "--fast", "20%"}}) {
    const SubprocessResult result = OnTinyNet(words);
    EXPECT_EQ(result.exit_status, 2) << result.err;
    EXPECT_THAT(result.out, IsEmpty());
  }
  EXPECT_THAT(OnTinyNet({"simulate", "--fast", "20%", "--policy", "magic"}).err, HasSubstr("lookahead"));
}

TEST_F(PlanningCommand, OfSeveralSlowTiersTheFirstTakesAllAndThatIsSaid) {
  for (std::vector<std::string> words : {std::vector<std::string>{"plan", "--fast", "80%", "-o", Path("plan.json")},
                                         {"simulate", "--fast", "80%,90%", "--policy", "lru"}}) {
    for (const char* word : {"--slow", "cxl:in=10GB/s,capacity=1GiB", "--slow", "ssd:in=1GB/s"})
      words.emplace_back(word);
    const SubprocessResult result = OnTinyNet(words);
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("cxl takes all, the others are left out"));
  }
}

TEST_F(PlanningCommand, AMachineWithoutRoomForWhatDoesNotFitIsRefused) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"plan", "--fast", "80%", "-o", Path("plan.json")},
        {"simulate", "--fast", "90%,80%", "--policy", "lru"}}) {
    std::vector<std::string> one = words;
    for (const char* word : {"--slow", "cxl:in=10GB/s,capacity=12MiB"}) one.emplace_back(word);
    const SubprocessResult alone = OnTinyNet(one);
    EXPECT_EQ(alone.exit_status, 1);
    EXPECT_THAT(alone.err, HasSubstr("--slow cxl has room for 12.0 MiB, and of the peak of 62.0 MiB"));
    std::vector<std::string> two = one;
    for (const char* word : {"--slow", "ssd:in=1GB/s"}) two.emplace_back(word);
    const SubprocessResult first = OnTinyNet(two);
    EXPECT_EQ(first.exit_status, 1);
    EXPECT_THAT(first.err, HasSubstr("the others don't help"));
    EXPECT_THAT(first.out, IsEmpty());
  }
  EXPECT_FALSE(std::filesystem::exists(Path("plan.json")));
}

TEST_F(PlanningCommand, WhatIsGivenTwiceIsRefused) {
  const SubprocessResult compute = OnTinyNet(
      {"simulate", "--fast", "90%", "--compute", "flops=1e12,memory=1TB/s", "--compute", "flops=2e12,memory=2TB/s"});
  EXPECT_EQ(compute.exit_status, 2);
  EXPECT_THAT(compute.err, HasSubstr("'flops' is given twice"));
  const SubprocessResult fast = OnTinyNet({"plan", "--fast", "90%", "--fast", "80%", "-o", Path("plan.json")});
  EXPECT_EQ(fast.exit_status, 2);
  EXPECT_THAT(fast.err, HasSubstr("--fast is given 2 times; give it once"));
}

TEST_F(PlanningCommand, ASlowTierThatExplainWouldNotLookAtIsRefused) {
  const std::string plan = Path("plan.json");
  ASSERT_EQ(OnTinyNet({"plan", "--fast", "80%", "-o", plan}).exit_status, 0);
  const SubprocessResult result = Thermocline({"explain", plan, "--tensor", "3", "--slow", "ssd:in=1GB/s"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("it goes with --trace"));
}

TEST_F(PlanningCommand, ABudgetBelowTheFloorIsSaidOnceWithTheFloor) {
  const SubprocessResult result = OnTinyNet({"simulate", "--fast", "20%", "--policy", "lru", "--json"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_THAT(result.err, HasSubstr("below the floor of 42.0 MiB, what layer 1 (conv2) needs"));
}

TEST_F(PlanningCommand, APlanIsSavedAndExplained) {
  const std::string plan = Path("plan.json");
  const SubprocessResult made = OnTinyNet({"plan", "--fast", "80%", "--planner", "lookahead", "-o", plan});
  ASSERT_EQ(made.exit_status, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("lookahead at 49.6 MiB of 62.0 MiB"));
  const std::string trace = Fixture("traces/tiny_net.json");
  const SubprocessResult whole = Thermocline({"explain", plan, "--trace", trace});
  ASSERT_EQ(whole.exit_status, 0) << whole.err;
  EXPECT_THAT(whole.out, HasSubstr("conv3.backward"));
  EXPECT_THAT(Thermocline({"explain", plan, "--layer", "1"}).out, HasSubstr("when layer 1 starts"));
  const SubprocessResult tensor = Thermocline({"explain", plan, "--tensor", "3", "--trace", trace});
  EXPECT_THAT(tensor.out, HasSubstr("tensor 3, 16.0 MiB"));
  EXPECT_THAT(tensor.out, HasSubstr("longest gap: from layer 1 (conv2) to layer 5 (conv1.backward)"));
  EXPECT_THAT(tensor.out, HasSubstr("in fast memory all the time: "));
  EXPECT_THAT(tensor.out, HasSubstr("in slow memory, brought in by each layer's touch: step time "));
  const SubprocessResult layer =
      Thermocline({"explain", plan, "--layer", "1", "--trace", trace, "--slow", "ssd:in=100MB/s"});
  EXPECT_THAT(layer.out, HasSubstr("always slow: step time"));
  EXPECT_THAT(Thermocline({"explain", plan, "--tensor", "3"}).out, HasSubstr("with --trace"));
  EXPECT_EQ(Thermocline({"explain", plan, "--tensor", "3", "--trace", trace, "--slow", "ssd:in=magic"}).exit_status, 2);
  EXPECT_EQ(Thermocline({"explain", plan, "--layer", "6"}).exit_status, 1);
  EXPECT_THAT(Thermocline({"explain", plan, "--tensor", "99"}).err, HasSubstr("has no tensor 99"));
  EXPECT_EQ(Thermocline({"explain", plan, "--layer", "1", "--tensor", "3"}).exit_status, 2);
}

TEST_F(PlanningCommand, APlanIsOnlyExplainedWithItsOwnTrace) {
  const std::string plan = Path("plan.json");
  ASSERT_EQ(OnTinyNet({"plan", "--fast", "80%", "-o", plan}).exit_status, 0);
  const std::string other = Write("other.json", R"({"version":1,"layers":[{"seconds":1}],"tensors":[]})");
  const SubprocessResult result = Thermocline({"explain", plan, "--trace", other});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("give the plan's own trace"));
}

}  // namespace
}  // namespace thermocline::testing

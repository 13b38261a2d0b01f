#include "src/plan/plan_file.h"

#include <filesystem>
#include <string>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/plan/lookahead_planner.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

using ::testing::HasSubstr;

MigrationPlan SomePlan() {
  const profile::Profile net = ConvNet({.blocks_per_stage = 2});
  PlannerInput input;
  input.profile = &net;
  input.machine = OneTier(1.5e9);
  input.budget = Bytes(net.peak_bytes.count() / 2);
  return *LookaheadPlanner().Plan(input);
}

// A plan that reads well in a test.
constexpr char kSmall[] = R"({"version": 1, "planner": "lookahead", "profile_hash": "00000000000000ff",
"sequence_hash": "0123456789abcdef", "budget_bytes": 8388608, "granule_bytes": 2097152, "layout_base": 0,
"layout_end": 4194304, "short_lived_bytes": 0, "resident_at_start": [1],
"layers": [{"release": [1], "need": []}, {"fetch": [{"granule": 1, "deadline": 0, "for_writing": true}]}],
"placements": [{"tensor": 0, "birth_layer": 1, "ordinal": 0, "bytes": 4096, "region": "migratable", "offset": 2097152}]})";

std::string Refusal(const std::string& from, const std::string& to) {
  const std::string text = absl::StrReplaceAll(kSmall, {{from, to}});
  EXPECT_NE(text, kSmall) << from;
  const absl::Status status = PlanFromJson(text, "p.json").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << from << " -> " << to << ": " << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("p.json"));
  return std::string(status.message());
}

TEST(PlanFileTest, WhatIsSavedIsReadBackWhole) {
  const MigrationPlan plan = SomePlan();
  const std::string path = ::testing::TempDir() + "plan_file_test.json";
  ASSERT_TRUE(SavePlan(plan, path).ok());
  const absl::StatusOr<MigrationPlan> read = LoadPlan(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(PlanToJson(*read), PlanToJson(plan));
  EXPECT_EQ(read->profile_hash, plan.profile_hash);
  EXPECT_EQ(read->placements.size(), plan.placements.size());
  EXPECT_EQ(read->resident_at_start, plan.resident_at_start);
  EXPECT_EQ(read->predicted_seconds, plan.predicted_seconds);
  std::filesystem::remove(path);
}

TEST(PlanFileTest, APlanThatDoesNotWaitSaysSo) {
  MigrationPlan plan = SomePlan();
  EXPECT_TRUE(PlanFromJson(PlanToJson(plan), "p.json")->waits);
  plan.waits = false;
  EXPECT_FALSE(PlanFromJson(PlanToJson(plan), "p.json")->waits);
}

TEST(PlanFileTest, ASmallPlanIsUnderstood) {
  const absl::StatusOr<MigrationPlan> plan = PlanFromJson(kSmall, "p.json");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->profile_hash, 255);
  EXPECT_EQ(plan->layers[1].fetch[0].granule, GranuleId(1));
  EXPECT_TRUE(plan->layers[1].fetch[0].for_writing);
  EXPECT_EQ(plan->placements[0].region, Region::kMigratable);
}

TEST(PlanFileTest, AMissingFileSaysSo) {
  const absl::Status status = LoadPlan("/nonexistent/plan.json").status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/plan.json"));
  EXPECT_FALSE(SavePlan(SomePlan(), "/nonexistent/plan.json").ok());
}

TEST(PlanFileTest, AnotherVersionIsRefused) {
  EXPECT_THAT(Refusal("\"version\": 1", "\"version\": 2"), HasSubstr("version"));
  EXPECT_THAT(Refusal("\"version\": 1, ", ""), HasSubstr("version"));
}

TEST(PlanFileTest, WrongTypesAreRefusedWithTheirPlace) {
  EXPECT_THAT(Refusal("\"release\": [1]", "\"release\": \"all\""), AllOf(HasSubstr("layer 0"), HasSubstr("p.json:4")));
  EXPECT_THAT(Refusal("\"for_writing\": true", "\"for_writing\": 1"), HasSubstr("for_writing"));
  EXPECT_THAT(Refusal("\"region\": \"migratable\"", "\"region\": \"moon\""), HasSubstr("'moon'"));
  EXPECT_THAT(Refusal("00000000000000ff", "0xff"), HasSubstr("16 hexadecimal digits"));
}

TEST(PlanFileTest, NumbersOutOfRangeAreRefused) {
  EXPECT_THAT(Refusal("\"release\": [1]", "\"release\": [4294967296]"), HasSubstr("layer 0"));
  EXPECT_THAT(Refusal("\"release\": [1]", "\"release\": [-1]"), HasSubstr("layer 0"));
  EXPECT_THAT(Refusal("\"release\": [1]", "\"release\": [1.5]"), HasSubstr("layer 0"));
  EXPECT_THAT(Refusal("8388608", "9223372036854775808"), HasSubstr("budget_bytes"));
  EXPECT_THAT(Refusal("\"deadline\": 0", "\"deadline\": 2"), HasSubstr("deadline 2"));
  EXPECT_THAT(Refusal("\"granule_bytes\": 2097152", "\"granule_bytes\": 2097153"), HasSubstr("power of two"));
  EXPECT_THAT(Refusal("\"bytes\": 4096", "\"bytes\": 4194304"), HasSubstr("outside of its layout"));
  EXPECT_THAT(Refusal("\"offset\": 2097152", "\"offset\": 2097216"), HasSubstr("no multiple of 4096"));
  EXPECT_THAT(Refusal("\"bytes\": 4096", "\"bytes\": -1"), HasSubstr("placement 0"));
  EXPECT_THAT(Refusal("\"birth_layer\": 1", "\"birth_layer\": 2"), HasSubstr("layer 2"));
  EXPECT_THAT(Refusal("\"offset\": 2097152", "\"offset\": 4611686018427387904"), HasSubstr("2^62"));
}

TEST(PlanFileTest, TextCutShortAnywhereIsRefused) {
  const std::string text = kSmall;
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(PlanFromJson(text.substr(0, length), "p.json").ok()) << length;
  }
}

TEST(PlanFileTest, DeepNestingIsRefusedWithoutRunningOutOfStack) {
  const std::string deep(1000000, '[');
  EXPECT_TRUE(absl::IsInvalidArgument(PlanFromJson(deep, "p.json").status()));
  EXPECT_THAT(Refusal("\"release\": [1]", "\"release\": " + std::string(100000, '[')), HasSubstr("nested"));
}

TEST(PlanFileTest, WhatIsNoPlanIsRefused) {
  for (const char* text : {"", "null", "[]", "7", "{}", "{\"version\": 1}"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(PlanFromJson(text, "p.json").status())) << text;
  }
}

}  // namespace
}  // namespace thermocline::plan

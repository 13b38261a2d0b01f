#include "src/plan/rebase.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/plan/lookahead_planner.h"
#include "src/plan/plan_file.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

constexpr int64_t kHere = GiB(64).count();
constexpr int64_t kEnd = GiB(96).count();

// Its weights are fixed, below every base but 0.
MigrationPlan PlanFrom(int64_t base) {
  const profile::Profile net = ConvNet({.blocks_per_stage = 2});
  PlannerInput input;
  input.profile = &net;
  input.machine = OneTier(1.5e9);
  input.budget = Bytes(net.peak_bytes.count() / 2);
  input.layout_base = base;
  return *LookaheadPlanner().Plan(input);
}

TEST(RebaseTest, AMovedPlanIsTheOneThatIsMadeThere) {
  const std::string made_here = PlanToJson(PlanFrom(kHere));
  for (const int64_t base : {int64_t{0}, GiB(8).count(), kHere, GiB(512).count()}) {
    MigrationPlan plan = PlanFrom(base);
    ASSERT_TRUE(Rebase(kHere, kEnd, &plan).ok());
    EXPECT_TRUE(PlanToJson(plan) == made_here) << "from " << base;
  }
}

TEST(RebaseTest, ALayoutThatDoesNotFitIsRefusedAndLeftAlone) {
  MigrationPlan plan = PlanFrom(kHere);
  const std::string before = PlanToJson(plan);
  const int64_t size = plan.layout_end - plan.layout_base;
  const absl::Status status = Rebase(0, size - 1, &plan);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(PlanToJson(plan) == before);
  EXPECT_TRUE(Rebase(0, size, &plan).ok());
}

// A file may say anything, and no granule may be asked for that this arena lacks.
TEST(RebaseTest, GranulesOfNoTensorHereAreLeftOut) {
  MigrationPlan plan;
  plan.granule_bytes = MiB(2);
  plan.layout_end = MiB(12).count();
  plan.placements = {{.tensor = TensorId(0), .bytes = MiB(8), .region = Region::kFixed, .offset = 0},
                     {.tensor = TensorId(1), .bytes = MiB(4), .offset = MiB(8).count()}};
  // 0 to 3 are fixed, of which the layout now lies on 2 and 3; from 6 on nothing is.
  plan.resident_at_start = {GranuleId(0), GranuleId(3), GranuleId(5), GranuleId(6), GranuleId(4294967294)};
  plan.layers.resize(1);
  plan.layers[0].fetch = {{GranuleId(2), LayerId(0)}, {GranuleId(4), LayerId(0), true}, {GranuleId(7), LayerId(0)}};
  ASSERT_TRUE(Rebase(MiB(4).count(), MiB(8).count(), &plan).ok());
  EXPECT_EQ(plan.resident_at_start, (std::vector{GranuleId(0), GranuleId(3)}));
  ASSERT_EQ(plan.layers[0].fetch.size(), 1);
  EXPECT_EQ(plan.layers[0].fetch[0].granule, GranuleId(2));
  EXPECT_TRUE(plan.layers[0].fetch[0].for_writing);
}

}  // namespace
}  // namespace thermocline::plan

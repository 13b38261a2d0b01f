// A step small enough to be followed by hand: what its tensors would cost elsewhere.
#include "src/plan/what_if.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/plan/lookahead_planner.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Three layers of one second; weight 0 is read in layer 0, weight 1 in layer 1, weight 2 in layer 2. Each is a granule,
// and takes half a second over the link. Two frames: weight 0 stays, the others take turns. Weight 2 comes when its
// layer starts, which is waited for; weight 1 comes while layer 0 computes.
class WhatIfTest : public ::testing::Test {
 protected:
  WhatIfTest() : weights_(3, 2), machine_(HalfASecondAGranule()) {
    for (int i = 0; i < 3; ++i) plan_.layers[i].need = {GranuleId(i)};
    plan_.resident_at_start = {GranuleId(0), GranuleId(2)};
    plan_.layers[0].release = {GranuleId(2)};
    plan_.layers[0].fetch = {{GranuleId(1), LayerId(1)}};
    plan_.layers[2].release = {GranuleId(1)};
    plan_.layers[2].fetch = {{GranuleId(2), LayerId(2)}};
  }
  WhatIf Of(int tensor) {
    const absl::StatusOr<WhatIf> what_if = TryElsewhere(profile_, machine_, plan_, TensorId(tensor));
    EXPECT_TRUE(what_if.ok()) << what_if.status();
    return *what_if;
  }
  WeightsInTurn weights_;
  Machine machine_;
  profile::Profile& profile_ = weights_.profile;
  MigrationPlan& plan_ = weights_.plan;
};

TEST_F(WhatIfTest, AsPlannedOneFetchIsWaitedForAndOneIsHidden) {
  const ReplayResult result = Of(0).as_planned;
  EXPECT_DOUBLE_EQ(result.seconds, 3.5);
  EXPECT_DOUBLE_EQ(result.exposed_seconds, 0.5);
  EXPECT_EQ(result.in, MiB(4));
}

TEST_F(WhatIfTest, WhatStaysAnywayCostsNothingWhenItIsKept) {
  const Elsewhere fast = Of(0).fast;
  EXPECT_TRUE(fast.possible);
  EXPECT_DOUBLE_EQ(fast.seconds, 0);
  EXPECT_EQ(fast.in, Bytes(0));
  EXPECT_THAT(fast.leaves, IsEmpty());
}

// Weight 2 never waits then. Weight 1 finds no frame, and takes that of weight 0 when its layer waits for it: half a
// second. Weight 0 is missing when layer 0 starts: half a second.
TEST_F(WhatIfTest, KeptFastWhatLeavesInsteadIsNamedAndItsCostCounted) {
  const Elsewhere fast = Of(2).fast;
  EXPECT_TRUE(fast.possible);
  EXPECT_DOUBLE_EQ(fast.seconds, 0.5);
  EXPECT_DOUBLE_EQ(fast.exposed_seconds, 0.5);
  EXPECT_EQ(fast.in, Bytes(0)) << "two fetches, as planned";
  EXPECT_THAT(fast.leaves, ElementsAre(TensorId(0)));
}

// Weight 0 waits for its own layer, and weight 2 as planned.
TEST_F(WhatIfTest, KeptSlowEveryUseWaits) {
  const Elsewhere slow = Of(0).slow;
  EXPECT_DOUBLE_EQ(slow.seconds, 0.5);
  EXPECT_DOUBLE_EQ(slow.exposed_seconds, 0.5);
  EXPECT_EQ(slow.in, MiB(2));
  EXPECT_EQ(slow.out, Bytes(0)) << "it is only read";
}

TEST_F(WhatIfTest, KeptSlowOnAnAddressableTierItIsUsedThereAndNothingMoves) {
  machine_.slow[0].byte_addressable = true;
  const Elsewhere slow = Of(1).slow;
  EXPECT_DOUBLE_EQ(slow.seconds, 0.5);
  EXPECT_EQ(slow.in, Bytes(-MiB(2).count()));
}

TEST_F(WhatIfTest, WhatComesOnlyWhenItIsNeededIsNoWorseOffSlow) {
  const Elsewhere slow = Of(2).slow;
  EXPECT_DOUBLE_EQ(slow.seconds, 0);
  EXPECT_EQ(slow.in, Bytes(0));
}

TEST_F(WhatIfTest, WhereALayerHasNoRoomBesideItSaysSo) {
  profile_.tensors[1].accesses = {{.layer = LayerId(0), .read = true}, {.layer = LayerId(1), .read = true}};
  const Elsewhere fast = Of(2).fast;
  EXPECT_FALSE(fast.possible);
  EXPECT_EQ(fast.layer, LayerId(0));
  EXPECT_EQ(fast.missing, MiB(2));
  EXPECT_TRUE(Of(1).fast.possible);
}

TEST_F(WhatIfTest, ATensorThatThePlanDoesNotHaveIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(TryElsewhere(profile_, machine_, plan_, TensorId(7)).status()));
}

TEST(WhatIf, OfAnyTensorOfANetHasAnAnswer) {
  const profile::Profile net = ConvNet({.blocks_per_stage = 2});
  PlannerInput input;
  input.profile = &net;
  input.machine = OneTier(1.5e9);
  input.budget = Bytes(net.peak_bytes.count() / 2);
  const absl::StatusOr<MigrationPlan> plan = LookaheadPlanner().Plan(input);
  ASSERT_TRUE(plan.ok());
  for (size_t i = 0; i < net.tensors.size(); i += 5) {
    const auto what_if = TryElsewhere(net, input.machine, *plan, net.tensors[i].id);
    ASSERT_TRUE(what_if.ok()) << what_if.status();
    EXPECT_EQ(what_if->as_planned.seconds, plan->predicted_seconds);
    EXPECT_GE(what_if->slow.seconds, -1e-3 * plan->predicted_seconds) << "tensor " << i;
  }
}

}  // namespace
}  // namespace thermocline::plan

#include "src/plan/lookahead_planner.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/plan/make_planner.h"
#include "src/plan/replay.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

PlannerInput Share(const profile::Profile& net, double share, double rate) {
  PlannerInput input;
  input.profile = &net;
  input.machine = OneTier(rate);
  input.budget = Bytes(static_cast<int64_t>(static_cast<double>(net.peak_bytes.count()) * share));
  return input;
}

double MustReplay(const PlannerInput& input, absl::string_view planner) {
  const absl::StatusOr<MigrationPlan> plan = (*MakePlanner(planner))->Plan(input);
  EXPECT_TRUE(plan.ok()) << plan.status();
  const absl::StatusOr<ReplayResult> replay = Replay(*input.profile, input.machine, *plan);
  EXPECT_TRUE(replay.ok()) << replay.status();
  return replay->seconds;
}

TEST(LookaheadPlannerTest, HidesTheLinkBehindTheComputeOfAConvNet) {
  const profile::Profile net = ConvNet();
  for (const double share : {0.5, 0.35, 0.2}) {
    const PlannerInput input = Share(net, share, 1.5e9);
    const double ahead = MustReplay(input, "lookahead") / 2.4;
    std::printf("%.0f%% at 1.5 GB/s, half duplex: lookahead %.4fx, interval %.3fx, lru %.3fx of all-fast\n",
                share * 100, ahead, MustReplay(input, "interval") / 2.4, MustReplay(input, "lru") / 2.4);
    EXPECT_LE(ahead, 1.03);
  }
}

TEST(LookaheadPlannerTest, HidesItEvenWhenScratchLeavesFewFrames) {
  const profile::Profile net = ConvNet({.scratch = true});
  const double ahead = MustReplay(Share(net, 0.2, 1.5e9), "lookahead") / 2.4;
  std::printf("20%% with scratch: %.4fx of all-fast\n", ahead);
  EXPECT_LE(ahead, 1.03);
}

TEST(LookaheadPlannerTest, ASlowLinkCostsLessThanByAnyOtherPlanner) {
  const profile::Profile net = ConvNet();
  for (const double share : {0.35, 0.2, 0.15}) {
    const PlannerInput input = Share(net, share, 0.8e9);
    const double ahead = MustReplay(input, "lookahead");
    EXPECT_LT(ahead, MustReplay(input, "interval"));
    EXPECT_LT(ahead, MustReplay(input, "lru"));
  }
}

TEST(LookaheadPlannerTest, PricesHideMoreOfALinkThatIsNearlyFull) {
  const profile::Profile net = ConvNet();
  for (const double share : {0.2, 0.15}) {
    const PlannerInput input = Share(net, share, 0.8e9);
    const double ahead = MustReplay(input, "lookahead") / 2.4, priced = MustReplay(input, "lagrangian") / 2.4;
    std::printf("%.0f%% at 0.8 GB/s, half duplex: lookahead %.4fx, lagrangian %.4fx of all-fast\n", share * 100, ahead,
                priced);
    EXPECT_LT(priced - 1, 0.9 * (ahead - 1));
  }
}

TEST(LookaheadPlannerTest, WritesBackOnlyWhatChangedSinceTheLastTime) {
  // A weight that is read forward and backward and never written: its slow copy stays valid.
  profile::Profile net = RandomProfile(1, 6, 0);
  for (int64_t i = 0; i < 3; ++i) {
    profile::Tensor tensor;
    tensor.id = TensorId(i);
    tensor.bytes = MiB(2);
    tensor.accesses = {{.layer = LayerId(static_cast<int32_t>(2 * i)), .read = true}};
    net.tensors.push_back(tensor);
  }
  PlannerInput input = Share(net, 1, 20e9);
  input.budget = MiB(2);
  const absl::StatusOr<MigrationPlan> plan = LookaheadPlanner().Plan(input);
  ASSERT_TRUE(plan.ok());
  size_t fetches = 0;
  for (const LayerActions& actions : plan->layers) {
    EXPECT_TRUE(actions.write_back.empty());
    fetches += actions.fetch.size();
  }
  EXPECT_EQ(fetches, 3);
  EXPECT_EQ(plan->predicted_out, Bytes(0));
}

TEST(LookaheadPlannerTest, StartsAWriteBackRightAfterTheLastWrite) {
  // Written in layer 0, read in layer 2, then not before layer 8; five others need the frame in between.
  profile::Profile net = RandomProfile(1, 10, 0);
  profile::Tensor first;
  first.id = TensorId(0);
  first.bytes = MiB(2);
  first.accesses = {
      {.layer = LayerId(0), .write = true}, {.layer = LayerId(2), .read = true}, {.layer = LayerId(8), .read = true}};
  net.tensors.push_back(first);
  profile::Tensor other;
  other.id = TensorId(1);
  other.bytes = MiB(2);
  other.accesses = {{.layer = LayerId(5), .read = true}};
  net.tensors.push_back(other);
  PlannerInput input = Share(net, 1, 20e9);
  input.budget = MiB(2);
  const absl::StatusOr<MigrationPlan> plan = LookaheadPlanner({.slack_frames = 0}).Plan(input);
  ASSERT_TRUE(plan.ok());
  const GranuleId granule(static_cast<uint32_t>(plan->placements[0].offset / MiB(2).count()));
  EXPECT_THAT(plan->layers[1].write_back, ::testing::ElementsAre(granule));
  EXPECT_THAT(plan->layers[3].release, ::testing::ElementsAre(granule));
}

// What a step moves that reads `tensors` of a granule each, one a layer, with `frames`; with each slack.
std::pair<Bytes, Bytes> MovedWithAndWithoutSlack(int tensors, int frames) {
  profile::Profile net = RandomProfile(1, tensors, 0);
  for (int i = 0; i < tensors; ++i) {
    profile::Tensor tensor;
    tensor.id = TensorId(i);
    tensor.bytes = MiB(2);
    tensor.accesses = {{.layer = LayerId(i), .read = true}};
    net.tensors.push_back(tensor);
  }
  PlannerInput input = Share(net, 1, 20e9);
  input.budget = MiB(2) * frames;
  return {LookaheadPlanner().Plan(input)->predicted_in,
          LookaheadPlanner({.slack_frames = 0}).Plan(input)->predicted_in};
}

TEST(LookaheadPlannerTest, LeavesFramesFreeOnlyWhereThereAreMany) {
  const auto [few, few_without] = MovedWithAndWithoutSlack(30, 20);
  EXPECT_EQ(few, few_without);
  const auto [many, many_without] = MovedWithAndWithoutSlack(200, 150);
  EXPECT_GT(many, many_without);
}

TEST(LookaheadPlannerTest, PlansADemoNetInATenthOfASecond) {
  const profile::Profile net = ConvNet();
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(LookaheadPlanner().Plan(Share(net, 0.2, 1.5e9)).ok());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%zu layers, 490 granules: %.3f s\n", net.layers.size(), seconds.count());
  EXPECT_LT(seconds.count(), 3.0);  // sanitizers and neighbours are slower
}

TEST(MakePlannerTest, KnowsEveryNameAndListsThemForAnyOther) {
  for (const absl::string_view name : PlannerNames()) {
    const auto planner = MakePlanner(name);
    ASSERT_TRUE(planner.ok());
    EXPECT_EQ((*planner)->name(), name);
  }
  const absl::Status status = MakePlanner("magic").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(::testing::HasSubstr("'magic'"),
                               ::testing::HasSubstr("lookahead, lagrangian, interval, first_touch, lru")));
}

}  // namespace
}  // namespace thermocline::plan

// Fast and slow memory are never the same: which node is refused as the slow one, on played machines.
#include "src/tier/slow_node.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/tier/tier_spec.h"
#include "tests/tier/played_numa.h"

namespace thermocline::tier {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kNodes[] = "/sys/devices/system/node/";

// What is said of `node`; "" when it is taken.
std::string Refused(int node, PlayedNuma& system) { return std::string(CheckSlowNode(node, system).message()); }

TEST(SlowNodeTest, TheOnlyNodeIsFastMemoryAndNoSlowTier) {
  PlayedNuma system;
  system.files = {{std::string(kNodes) + "has_memory", "0\n"},
                  {std::string(kNodes) + "node0/cpulist", "0-1\n"},
                  {"/proc/self/status", "Cpus_allowed_list:\t0-1\nMems_allowed_list:\t0\n"}};
  EXPECT_THAT(Refused(0, system), AllOf(HasSubstr("the only one"), HasSubstr("file:/var/tmp")));
  const auto tier = MakeBlockTier(*ParseTierSpec("numa:0,capacity=8MiB"), MiB(2), {nullptr, &system});
  EXPECT_EQ(tier.status().code(), absl::StatusCode::kInvalidArgument) << tier.status();
}

TEST(SlowNodeTest, TheNodeOfTheCpusIsFastMemory) {
  PlayedNuma system;
  PlayTwoNodes(&system);
  EXPECT_EQ(Refused(1, system), "");
  EXPECT_THAT(Refused(0, system), AllOf(HasSubstr("node 0 too"), HasSubstr("--membind")));
}

TEST(SlowNodeTest, AnotherNodeThatTheProcessIsBoundToIsTheFastOne) {
  for (const MemoryPolicy policy : {MemoryPolicy::kBind, MemoryPolicy::kPreferred, MemoryPolicy::kPreferredMany}) {
    PlayedNuma system;
    PlayTwoNodes(&system);
    system.policy = policy;
    system.policy_nodes = 2;
    EXPECT_EQ(Refused(0, system), "") << static_cast<int>(policy);
    EXPECT_THAT(Refused(1, system), HasSubstr("node 1 too")) << static_cast<int>(policy);
  }
}

TEST(SlowNodeTest, OfTwoSocketsTheOneThatTheProcessDoesNotRunOn) {
  PlayedNuma system;
  PlayTwoNodes(&system);
  system.files[std::string(kNodes) + "node1/cpulist"] = "4-7\n";
  system.files["/proc/self/status"] = "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t0-1\n";
  EXPECT_EQ(Refused(1, system), "");
  EXPECT_NE(Refused(0, system), "");
  system.files["/proc/self/status"] = "Cpus_allowed_list:\t0-7\nMems_allowed_list:\t0-1\n";
  EXPECT_EQ(Refused(0, system), "") << "it runs on both, and fast memory comes from both";
  EXPECT_EQ(Refused(1, system), "");
}

TEST(SlowNodeTest, ANodeThatTheProcessMayNotUseIsNoFastMemory) {
  PlayedNuma system;
  PlayTwoNodes(&system);
  system.files["/proc/self/status"] = "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t1\n";
  EXPECT_NE(Refused(1, system), "");
}

TEST(SlowNodeTest, WhereNothingIsSaidTheNodeIsTaken) {
  PlayedNuma system;
  system.refused = {{"sysfs", -ENOENT}, {"get_mempolicy of the process", -EPERM}};
  EXPECT_EQ(Refused(0, system), "");
}

TEST(SlowNodeTest, ThisProcessTakesItsMemoryFromSomewhere) {
  const auto nodes = FastNodes();
  EXPECT_NE(nodes.value_or(1), 0u);
}

}  // namespace
}  // namespace thermocline::tier

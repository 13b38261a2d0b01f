#include "src/topology/sysfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermocline::topology {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kFixtures = THERMOCLINE_FIXTURES;

TEST(SysfsTest, ReadsSizesCpusAndDistances) {
  const auto nodes = ReadSysfsNodes(kFixtures + "/cxl");
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  ASSERT_EQ(nodes->size(), 2);
  EXPECT_EQ((*nodes)[0].bytes, KiB(1010372));
  EXPECT_EQ((*nodes)[0].free, KiB(950000));
  EXPECT_TRUE((*nodes)[0].has_cpus);
  EXPECT_FALSE((*nodes)[1].has_cpus);
  EXPECT_THAT((*nodes)[1].distances, ElementsAre(20, 10));
}

TEST(SysfsTest, PrefersFiguresAsCpusSeeThemAndTakesTheRestFromTheBestInitiator) {
  const auto nodes = ReadSysfsNodes(kFixtures + "/cxl");
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  const MemoryNode& far = (*nodes)[1];
  EXPECT_DOUBLE_EQ(far.read_bandwidth.value.rate(), 4096.0 * 1048576);   // access1
  EXPECT_DOUBLE_EQ(far.write_bandwidth.value.rate(), 5120.0 * 1048576);  // access0: access1 has none
  EXPECT_DOUBLE_EQ(far.latency_seconds.value, 310e-9);
  EXPECT_EQ(far.latency_seconds.source, FigureSource::kSysfs);
}

TEST(SysfsTest, ReadsTheKernelsMemoryTiers) {
  const auto nodes = ReadSysfsNodes(kFixtures + "/tiers");
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  EXPECT_EQ((*nodes)[0].kernel_tier, 4);
  EXPECT_EQ((*nodes)[1].kernel_tier, 22);
  EXPECT_FALSE((*nodes)[0].read_bandwidth.known());
}

TEST(SysfsTest, LeavesOutNodesWithoutMemory) {
  const auto nodes = ReadSysfsNodes(kFixtures + "/cpu_only");
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  ASSERT_EQ(nodes->size(), 1);
  EXPECT_EQ((*nodes)[0].id, NodeId(0));
}

TEST(SysfsTest, SaysThatThereIsNoNodeWhereThereIsNoSysfs) {
  const auto nodes = ReadSysfsNodes(kFixtures + "/no_such_tree");
  EXPECT_TRUE(absl::IsNotFound(nodes.status())) << nodes.status();
}

TEST(SysfsTest, NamesTheFileThatMakesNoSense) {
  const auto nodes = ReadSysfsNodes(kFixtures + "/nonsense");
  ASSERT_TRUE(absl::IsInvalidArgument(nodes.status())) << nodes.status();
  EXPECT_THAT(std::string(nodes.status().message()), HasSubstr("node0/meminfo"));
  EXPECT_THAT(std::string(nodes.status().message()), HasSubstr("many kB"));
}

}  // namespace
}  // namespace thermocline::topology

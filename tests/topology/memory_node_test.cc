#include "src/topology/memory_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermocline::topology {
namespace {

using ::testing::ElementsAre;

MemoryNode Node(int id, bool has_cpus, double bandwidth = 0) {
  MemoryNode node;
  node.id = NodeId(id);
  node.has_cpus = has_cpus;
  if (bandwidth > 0) node.read_bandwidth = {BytesPerSecond(bandwidth), FigureSource::kMeasured};
  return node;
}

TEST(SlowNodesTest, ANodeWithoutCpusIsSlow) {
  Topology topology{{Node(0, true), Node(1, false)}, {}};
  MarkSlowNodes(&topology);
  EXPECT_FALSE(topology.nodes[0].slow);
  EXPECT_TRUE(topology.nodes[1].slow);
}

TEST(SlowNodesTest, AMeasurementALittleAboveMakesNoFastMemoryOfANodeWithoutCpus) {
  Topology topology{{Node(0, true, 100e9), Node(1, false, 110e9)}, {}};
  MarkSlowNodes(&topology);
  EXPECT_TRUE(topology.nodes[1].slow);
}
TEST(SlowNodesTest, OnPackageMemoryWithoutCpusIsNotSlow) {
  Topology topology{{Node(0, true, 100e9), Node(1, false, 400e9)}, {}};
  MarkSlowNodes(&topology);
  EXPECT_FALSE(topology.nodes[1].slow);
  EXPECT_THAT(FastestFirst(topology), ElementsAre(1, 0));
}

TEST(SlowNodesTest, TwoSocketsAreBothFast) {
  Topology topology{{Node(0, true, 100e9), Node(1, true, 100e9)}, {}};
  MarkSlowNodes(&topology);
  EXPECT_FALSE(topology.nodes[0].slow);
  EXPECT_FALSE(topology.nodes[1].slow);
  EXPECT_THAT(FastestFirst(topology), ElementsAre(0, 1));
}

TEST(SlowNodesTest, TheKernelsTiersDecideWhereTheyDiffer) {
  Topology topology{{Node(0, true), Node(1, true)}, {}};
  topology.nodes[0].kernel_tier = 22;
  topology.nodes[1].kernel_tier = 4;
  MarkSlowNodes(&topology);
  EXPECT_TRUE(topology.nodes[0].slow);
  EXPECT_FALSE(topology.nodes[1].slow);
  EXPECT_THAT(FastestFirst(topology), ElementsAre(1, 0));
}

TEST(SlowNodesTest, EqualTiersDoNotHideThatANodeHasNoCpus) {
  Topology topology{{Node(0, true), Node(1, false)}, {}};
  topology.nodes[0].kernel_tier = 4;
  topology.nodes[1].kernel_tier = 4;
  MarkSlowNodes(&topology);
  EXPECT_TRUE(topology.nodes[1].slow);
}

TEST(SlowNodesTest, AMachineOfNodesWithoutCpusHasNoSlowOne) {
  Topology topology{{Node(0, false)}, {}};
  MarkSlowNodes(&topology);
  EXPECT_FALSE(topology.nodes[0].slow);
}

}  // namespace
}  // namespace thermocline::topology

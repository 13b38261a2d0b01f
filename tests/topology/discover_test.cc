#include "src/topology/discover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace thermocline::topology {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

const std::string kFixtures = THERMOCLINE_FIXTURES;

DiscoverOptions From(HwlocInput hwloc, const std::string& sysfs_tree) {
  DiscoverOptions options;
  options.hwloc = std::move(hwloc);
  options.sysfs_root = sysfs_tree.empty() ? "" : kFixtures + "/" + sysfs_tree;
  options.proc_root = kFixtures + "/proc";
  return options;
}
HwlocInput NoHwloc() { return {HwlocInput::Kind::kNone, ""}; }
HwlocInput Synthetic(const std::string& text) { return {HwlocInput::Kind::kSynthetic, text}; }
HwlocInput Xml(const std::string& name) { return {HwlocInput::Kind::kXmlFile, kFixtures + "/" + name}; }

class FakeMeasurer final : public NodeMeasurer {
 public:
  absl::StatusOr<NodeFigures> Measure(NodeId node, bool bind) override {
    asked.emplace_back(node.value(), bind);
    if (node == refused) return absl::PermissionDeniedError("mbind of 50331648 bytes for node 1");
    return NodeFigures{BytesPerSecond(7e9), BytesPerSecond(5e9), 123e-9};
  }
  std::vector<std::pair<int, bool>> asked;
  NodeId refused{-1};
};

TEST(DiscoverTest, TakesNodesFromASyntheticDescription) {
  const auto topology = DiscoverTopology(From(Synthetic("numa:2(memory=1073741824) core:2 pu:1"), ""));
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_EQ(topology->nodes.size(), 2);
  EXPECT_EQ(topology->nodes[1].bytes, GiB(1));
  EXPECT_EQ(topology->nodes[1].bytes_source, FigureSource::kHwloc);
  EXPECT_TRUE(topology->nodes[1].has_cpus);
  EXPECT_FALSE(topology->nodes[1].slow);
}

TEST(DiscoverTest, TakesBandwidthAndLatencyFromAnXmlFile) {
  const auto topology = DiscoverTopology(From(Xml("shared_cpus.xml"), ""));
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_EQ(topology->nodes.size(), 2);
  EXPECT_DOUBLE_EQ(topology->nodes[1].read_bandwidth.value.rate(), 25000.0 * 1048576);
  EXPECT_EQ(topology->nodes[1].read_bandwidth.source, FigureSource::kHwloc);
  EXPECT_DOUBLE_EQ(topology->nodes[1].latency_seconds.value, 250e-9);
}

TEST(DiscoverTest, TakesANodeThatSharesAnothersCpusForOneWithoutCpus) {
  const auto topology = DiscoverTopology(From(Xml("shared_cpus.xml"), ""));
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_TRUE(topology->nodes[0].has_cpus);
  EXPECT_FALSE(topology->nodes[1].has_cpus);
  EXPECT_TRUE(topology->nodes[1].slow);
}

TEST(DiscoverTest, SysfsFillsInWhatHwlocDoesNotKnow) {
  const auto topology = DiscoverTopology(From(Synthetic("numa:2(memory=1073741824) core:2 pu:1"), "cxl"));
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_EQ(topology->nodes.size(), 2);
  EXPECT_EQ(topology->nodes[1].bytes, GiB(1));  // hwloc's word stands
  EXPECT_EQ(topology->nodes[1].read_bandwidth.source, FigureSource::kSysfs);
  EXPECT_THAT(topology->nodes[1].distances, ElementsAre(20, 10));
  EXPECT_TRUE(topology->nodes[1].slow);  // the kernel knows that it has no CPUs
}

TEST(DiscoverTest, HwlocsFiguresStandAgainstSysfs) {
  const auto topology = DiscoverTopology(From(Xml("shared_cpus.xml"), "cxl"));
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->nodes[1].read_bandwidth.source, FigureSource::kHwloc);
  EXPECT_DOUBLE_EQ(topology->nodes[1].read_bandwidth.value.rate(), 25000.0 * 1048576);
}

TEST(DiscoverTest, TakesTheMachineForOneNodeWhereNothingTellsNodesApart) {
  const auto topology = DiscoverTopology(From(NoHwloc(), "no_such_tree"));
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_EQ(topology->nodes.size(), 1);
  EXPECT_EQ(topology->nodes[0].bytes, MiB(16));
  EXPECT_FALSE(topology->nodes[0].slow);
  ASSERT_EQ(topology->remarks.size(), 2);
  EXPECT_THAT(topology->remarks[0], HasSubstr("no_such_tree"));
}

TEST(DiscoverTest, TheOnlyNodeHasAllOfMemoryWhateverItsOwnAccountSays) {
  const auto topology = DiscoverTopology(From(NoHwloc(), "cpu_only"));
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_EQ(topology->nodes.size(), 1);
  EXPECT_EQ(topology->nodes[0].bytes, MiB(16));  // 2 MiB by its own account
}

TEST(DiscoverTest, ABrokenSysfsIsARemarkNotAnError) {
  const auto topology = DiscoverTopology(From(Synthetic("numa:1 pu:2"), "nonsense"));
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_EQ(topology->remarks.size(), 1);
  EXPECT_THAT(topology->remarks[0], HasSubstr("many kB"));
}

TEST(DiscoverTest, RefusesAnXmlFileOrADescriptionThatIsWrong) {
  EXPECT_TRUE(absl::IsInvalidArgument(DiscoverTopology(From(Xml("no_such.xml"), "")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DiscoverTopology(From(Synthetic("numa:x"), "")).status()));
}

TEST(DiscoverTest, AMeasurementOverridesWhatOthersSay) {
  FakeMeasurer measurer;
  DiscoverOptions options = From(Xml("shared_cpus.xml"), "cxl");
  options.measurer = &measurer;
  const auto topology = DiscoverTopology(options);
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->nodes[1].read_bandwidth.source, FigureSource::kMeasured);
  EXPECT_DOUBLE_EQ(topology->nodes[1].write_bandwidth.value.rate(), 5e9);
  EXPECT_THAT(measurer.asked, ElementsAre(Pair(0, true), Pair(1, true)));
}

TEST(DiscoverTest, ANodeThatCannotBeMeasuredKeepsItsFigures) {
  FakeMeasurer measurer;
  measurer.refused = NodeId(1);
  DiscoverOptions options = From(NoHwloc(), "cxl");
  options.measurer = &measurer;
  const auto topology = DiscoverTopology(options);
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->nodes[1].read_bandwidth.source, FigureSource::kSysfs);
  ASSERT_EQ(topology->remarks.size(), 1);
  EXPECT_THAT(topology->remarks[0], HasSubstr("Node 1 could not be measured"));
}

TEST(DiscoverTest, TheOnlyNodeIsMeasuredWithoutBinding) {
  FakeMeasurer measurer;
  DiscoverOptions options = From(Synthetic("numa:1 pu:2"), "");
  options.measurer = &measurer;
  ASSERT_TRUE(DiscoverTopology(options).ok());
  EXPECT_THAT(measurer.asked, ElementsAre(Pair(0, false)));
}

TEST(DiscoverTest, ThisMachineHasAFastNodeWithMemory) {
  const auto topology = DiscoverTopology(DiscoverOptions{});
  ASSERT_TRUE(topology.ok()) << topology.status();
  const MemoryNode& fastest = topology->nodes[FastestFirst(*topology).front()];
  EXPECT_GT(fastest.bytes, MiB(16));
  EXPECT_FALSE(fastest.slow);
}

}  // namespace
}  // namespace thermocline::topology

#include "src/topology/choose_slow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/topology/discover.h"

namespace thermocline::topology {
namespace {

using ::testing::HasSubstr;

// What is chosen on the machine of a fixture, which hwloc may describe as well.
SlowChoice On(const std::string& tree, Bytes wanted, HwlocInput hwloc = {HwlocInput::Kind::kNone, ""}) {
  DiscoverOptions options;
  options.hwloc = std::move(hwloc);
  options.sysfs_root = tree.empty() ? "" : std::string(THERMOCLINE_FIXTURES "/") + tree;
  options.proc_root = THERMOCLINE_FIXTURES "/proc";
  const auto topology = DiscoverTopology(options);
  EXPECT_TRUE(topology.ok()) << topology.status();
  return ChooseSlowTier(*topology, "/var/tmp", wanted);
}

TEST(ChooseSlowTest, ASecondNodeWithoutCpusIsTheSlowTier) {
  const SlowChoice choice = On("cxl", MiB(512));
  EXPECT_EQ(choice.spec, "numa:1");
  EXPECT_THAT(choice.why, HasSubstr("memory node 1, 1008 MiB free"));
}

TEST(ChooseSlowTest, ANodeWithoutRoomIsLeftForTheFile) {
  const SlowChoice choice = On("cxl", GiB(2));
  EXPECT_EQ(choice.spec, "file:/var/tmp");
  EXPECT_THAT(choice.why, HasSubstr("is too small: 2.00 GiB may be needed"));
}

TEST(ChooseSlowTest, TheKernelsLaterTierIsTheSlowOneEvenIfItHasCpus) { EXPECT_EQ(On("tiers", MiB(1)).spec, "numa:1"); }

TEST(ChooseSlowTest, OneNodeMeansTheFile) {
  const SlowChoice choice = On("cpu_only", MiB(1));
  EXPECT_EQ(choice.spec, "file:/var/tmp");
  EXPECT_EQ(choice.why, "this machine has one memory node");
}

TEST(ChooseSlowTest, TwoEqualSocketsMeanTheFile) {
  const SlowChoice choice = On("", MiB(1), {HwlocInput::Kind::kSynthetic, "numa:2(memory=1073741824) core:2 pu:1"});
  EXPECT_EQ(choice.spec, "file:/var/tmp");
  EXPECT_THAT(choice.why, HasSubstr("none slower"));
}

}  // namespace
}  // namespace thermocline::topology

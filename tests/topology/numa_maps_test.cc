#include "src/topology/numa_maps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermocline::topology {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// As Linux 6.1 writes it.
constexpr char kText[] =
    "55d0c0a4e000 default file=/tests/rhythm mapped=1 N0=1 kernelpagesize_kB=4\n"
    "7f0000000000 bind:1 anon=24576 dirty=24576 N1=24576 kernelpagesize_kB=4\n"
    "7f1000000000 default anon=8192 dirty=8192 active=0 N0=8000 N1=192 kernelpagesize_kB=4\n"
    "7f2000000000 bind:1 file=/anon_hugepage\\040(deleted) huge anon=3 dirty=3 N1=3 kernelpagesize_kB=2048\n"
    "7fff0a000000 default stack anon=3 dirty=3 N0=3 kernelpagesize_kB=4\n";

TEST(NumaMapsTest, SumsEachNodesBytesOverAllMappings) {
  EXPECT_THAT(ReadNumaMaps(kText),
              UnorderedElementsAre(Pair(NodeId(0), KiB(4 * 8004)), Pair(NodeId(1), KiB(4 * (24576 + 192)) + MiB(6))));
}

TEST(NumaMapsTest, TellsWhatIsBoundToANodeFromWhatOnlyLiesThere) {
  EXPECT_THAT(ReadNumaMaps(kText, "bind:1"), UnorderedElementsAre(Pair(NodeId(1), MiB(96) + MiB(6))));
  EXPECT_THAT(ReadNumaMaps(kText, "bind:0"), IsEmpty());
}

TEST(NumaMapsTest, PassesOverWhatMakesNoSense) {
  EXPECT_THAT(ReadNumaMaps("\nN0=1\n7f00 default Nx=3 N0= N=5 N1\n"), IsEmpty());
}

}  // namespace
}  // namespace thermocline::topology

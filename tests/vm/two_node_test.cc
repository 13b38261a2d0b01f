// The memory tier on a machine with two memory nodes, node 1 without CPUs. It runs in the machine that scripts/test-vm
// boots; on a machine with one node it fails and says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "src/tier/numa_tier.h"
#include "src/tier/tier_spec.h"
#include "src/topology/choose_slow.h"
#include "src/topology/discover.h"
#include "tests/tier/frames.h"

namespace thermocline::tier {
namespace {

using ::testing::HasSubstr;

constexpr Bytes kGranule = MiB(2);

int64_t FreeOn(int node) {
  std::ifstream file("/sys/devices/system/node/node" + std::to_string(node) + "/meminfo");
  std::string line;
  while (std::getline(file, line)) {
    const size_t at = line.find("MemFree:");
    if (at != std::string::npos) return std::stoll(line.substr(at + 8)) * 1024;
  }
  return -1;
}

std::unique_ptr<NumaTier> MakeTier(int node, Bytes capacity) {
  NumaTierOptions options;
  options.node = node;
  options.granule_bytes = kGranule;
  options.capacity = capacity;
  auto tier = NumaTier::Create(options);
  EXPECT_TRUE(tier.ok()) << tier.status();
  return tier.ok() ? *std::move(tier) : nullptr;
}

class TwoNodes : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_GE(FreeOn(1), 0) << "this machine has no memory node 1: run scripts/test-vm"; }
};

TEST_F(TwoNodes, TheNodeWithoutCpusIsFoundAsTheSlowOne) {
  const auto topology = topology::DiscoverTopology({});
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_EQ(topology->nodes.size(), 2u);
  EXPECT_TRUE(topology->nodes[0].has_cpus);
  EXPECT_FALSE(topology->nodes[1].has_cpus);
  EXPECT_FALSE(topology->nodes[0].slow);
  EXPECT_TRUE(topology->nodes[1].slow);
}

TEST_F(TwoNodes, WhereNobodyNamesASlowTierItIsNodeOneIfItHasRoom) {
  const auto topology = topology::DiscoverTopology({});
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology::ChooseSlowTier(*topology, "/var/tmp", MiB(256)).spec, "numa:1");
  EXPECT_EQ(topology::ChooseSlowTier(*topology, "/var/tmp", GiB(8)).spec, "file:/var/tmp");
}

TEST_F(TwoNodes, EverySlotTakesItsMemoryFromNodeOne) {
  const int64_t free0 = FreeOn(0), free1 = FreeOn(1);
  const auto tier = MakeTier(1, MiB(64));
  ASSERT_NE(tier, nullptr);
  const Frames frames(2, kGranule);
  for (int i = 0; i < 32; ++i) {
    const SlotId slot = tier->AllocateSlot();
    ASSERT_NE(slot, kNoSlot);
    frames.Fill(0, i + 1);
    std::vector<Completion> completions;
    ASSERT_EQ(tier->Submit({{1, Direction::kOut, slot, frames[0]}}), 1);
    while (completions.empty()) tier->Reap(&completions, -1);
    ASSERT_EQ(completions[0].error, 0);
  }
  for (int i = 0; i < 32; ++i) {
    ASSERT_EQ(tier->ReadSync(SlotId(i), frames[1]), 0);
    EXPECT_TRUE(frames.Holds(1, i + 1)) << "slot " << i;
  }
  const auto placement = tier->Placement();
  ASSERT_TRUE(placement.ok()) << placement.status();
  EXPECT_EQ(placement->on_node, MiB(64).count() / 4096);
  EXPECT_EQ(placement->elsewhere, 0);
  // And seen from outside: node 1 has less, node 0 has not.
  EXPECT_GE(free1 - FreeOn(1), MiB(60).count());
  EXPECT_LT(free0 - FreeOn(0), MiB(24).count());
}

TEST_F(TwoNodes, TheKernelsOwnFigureOfTheMappingAgrees) {
  const auto tier = MakeTier(1, MiB(16));
  ASSERT_NE(tier, nullptr);
  while (tier->AllocateSlot() != kNoSlot) {
  }
  std::ifstream file("/proc/self/numa_maps");
  std::string line;
  int64_t bound = 0;
  while (std::getline(file, line)) {
    if (line.find(" bind:1") == std::string::npos) continue;
    EXPECT_EQ(line.find(" N0="), std::string::npos) << line;
    const size_t at = line.find(" N1=");
    if (at != std::string::npos) bound += std::stoll(line.substr(at + 4));
  }
  EXPECT_EQ(bound, MiB(16).count() / 4096);
}

TEST_F(TwoNodes, AFullNodeIsAFullTierAndNoProcessIsKilled) {
  const int64_t free0 = FreeOn(0);
  const auto tier = MakeTier(1, Bytes(0));
  ASSERT_NE(tier, nullptr);
  EXPECT_LE(tier->capacity(), Bytes(FreeOn(1)) + kGranule * 2);
  // Somebody else takes most of the node in the meantime.
  const int64_t taken = FreeOn(1) - MiB(48).count();
  char* other = static_cast<char*>(
      mmap(nullptr, taken, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  const unsigned long mask = 2;
  ASSERT_EQ(syscall(SYS_mbind, other, taken, 2 /* MPOL_BIND */, &mask, 65, 0), 0);
  for (int64_t at = 0; at < taken; at += 4096) other[at] = 1;
  int slots = 0;
  while (tier->AllocateSlot() != kNoSlot) ++slots;
  EXPECT_GE(slots, 4);
  EXPECT_LE(slots, 26);
  EXPECT_EQ(tier->Placement()->elsewhere, 0);
  EXPECT_LT(free0 - FreeOn(0), MiB(64).count()) << "slots lie on node 0";
  munmap(other, taken);
  usleep(150'000);  // a full node isn't asked again at once
  EXPECT_NE(tier->AllocateSlot(), kNoSlot) << "there is room again";
}

TEST_F(TwoNodes, ANodeThatIsNotThereIsNamedWithThoseThatAre) {
  const auto request = ParseTierSpec("numa:2");
  ASSERT_TRUE(request.ok());
  EXPECT_THAT(std::string(MakeBlockTier(*request, kGranule).status().message()), HasSubstr("it has 0-1"));
}

}  // namespace
}  // namespace thermocline::tier

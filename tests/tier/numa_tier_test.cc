// What the memory tier promises beyond the conformance suite: no page on another node, ever; and what it says when the
// system refuses. Node 0 is real; other nodes and refusals are played.
#include "src/tier/numa_tier.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <string>
#include <vector>

#include "src/tier/tier_spec.h"
#include "tests/tier/frames.h"
#include "tests/tier/played_numa.h"

namespace thermocline::tier {
namespace {

using ::testing::HasSubstr;

constexpr Bytes kGranule = KiB(64);

NumaTierOptions Options(int node = 0) {
  NumaTierOptions options;
  options.node = node;
  options.granule_bytes = kGranule;
  options.capacity = kGranule * 8;
  return options;
}

absl::Status StatusWith(const std::string& call, int error) {
  PlayedNuma system;
  system.refused[call] = -error;
  return NumaTier::Create(Options(), system).status();
}

TEST(NumaTierTest, EveryPageOfEverySlotLiesOnItsNode) {
  const auto tier = NumaTier::Create(Options());
  ASSERT_TRUE(tier.ok()) << tier.status();
  for (int i = 0; i < 8; ++i) ASSERT_NE((*tier)->AllocateSlot(), kNoSlot);
  const auto placement = (*tier)->Placement();
  ASSERT_TRUE(placement.ok()) << placement.status();
  EXPECT_EQ(placement->on_node, 8 * (kGranule.count() / 4096));
  EXPECT_EQ(placement->elsewhere, 0);
  EXPECT_EQ(placement->absent, 0);
  EXPECT_TRUE((*tier)->addressable());
}

TEST(NumaTierTest, ASlotCanBeReadInPlace) {
  const auto tier = NumaTier::Create(Options());
  ASSERT_TRUE(tier.ok()) << tier.status();
  const Frames frames(1, kGranule);
  frames.Fill(0, 4);
  const SlotId slot = (*tier)->AllocateSlot();
  ASSERT_EQ((*tier)->Submit({{1, Direction::kOut, slot, frames[0]}}), 1);
  std::vector<Completion> completions;
  while (completions.empty()) (*tier)->Reap(&completions, -1);
  EXPECT_EQ(std::memcmp((*tier)->SlotMemory(slot), frames[0], kGranule.count()), 0);
}

TEST(NumaTierTest, ASourceThatIsGoneIsAFailedTransferAndNoCrash) {
  const auto tier = NumaTier::Create(Options());
  ASSERT_TRUE(tier.ok()) << tier.status();
  void* gone = mmap(nullptr, kGranule.count(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_EQ((*tier)->Submit({{1, Direction::kOut, (*tier)->AllocateSlot(), gone}}), 1);
  std::vector<Completion> completions;
  while (completions.empty()) (*tier)->Reap(&completions, -1);
  EXPECT_EQ(completions[0].error, EFAULT);
  munmap(gone, kGranule.count());
}

TEST(NumaTierTest, PagesThatComeFromAnotherNodeAreMovedBeforeASlotIsHandedOut) {
  PlayedNuma system;
  system.two_nodes = true;
  const auto tier = NumaTier::Create(Options(1), system);
  ASSERT_TRUE(tier.ok()) << tier.status();
  ASSERT_NE((*tier)->AllocateSlot(), kNoSlot);
  EXPECT_EQ(static_cast<int64_t>(system.on_node1.size()), kGranule.count() / 4096);
  EXPECT_EQ((*tier)->Placement()->elsewhere, 0);
}

TEST(NumaTierTest, AFullNodeIsAFullTierAndNothingLiesElsewhere) {
  PlayedNuma system;
  system.two_nodes = true;
  system.node1_free_pages = 2 * (kGranule.count() / 4096) + 5;
  const auto tier = NumaTier::Create(Options(1), system);
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_NE((*tier)->AllocateSlot(), kNoSlot);
  EXPECT_NE((*tier)->AllocateSlot(), kNoSlot);
  EXPECT_EQ((*tier)->AllocateSlot(), kNoSlot);
  EXPECT_EQ(system.node1_free_pages, 5) << "what was moved there in vain was not given back";
  EXPECT_EQ((*tier)->Placement()->elsewhere, 0);
  EXPECT_EQ((*tier)->Stats().failures, 0);
  (*tier)->FreeSlot(SlotId(1));
  EXPECT_EQ((*tier)->AllocateSlot(), SlotId(1));
}

TEST(NumaTierTest, ANodeWithoutRoomForOneGranuleIsRefusedAsFull) {
  PlayedNuma system;
  system.two_nodes = true;
  system.node1_free_pages = 3;
  const absl::Status status = NumaTier::Create(Options(1), system).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("numa:1: the node is full"));
}

TEST(NumaTierTest, TheCapacityIsWhatTheNodeHasFree) {
  PlayedNuma system;
  system.two_nodes = true;
  NumaTierOptions options = Options(1);
  options.capacity = Bytes(0);
  const auto tier = NumaTier::Create(options, system);
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_EQ((*tier)->capacity(), GiB(1));
  options.capacity = GiB(5);
  EXPECT_THAT(std::string(NumaTier::Create(options, system).status().message()), HasSubstr("more than the node's"));
}

TEST(NumaTierTest, ANodeThatIsNotThereIsNamedWithThoseThatAre) {
  const absl::Status status = NumaTier::Create(Options(999)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("numa:999: this machine has no such memory node; it has 0"));
  const auto request = ParseTierSpec("numa:999");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(MakeBlockTier(*request, kGranule).status().code(), absl::StatusCode::kNotFound);
}

TEST(NumaTierTest, WhatIsRefusedIsNamedWithItsErrno) {
  EXPECT_THAT(std::string(StatusWith("mbind", EPERM).message()), HasSubstr("mbind answered EPERM"));
  EXPECT_EQ(StatusWith("mbind", EPERM).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(StatusWith("mbind", ENOSYS).code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(StatusWith("mbind", EINVAL).message()), HasSubstr("Mems_allowed_list"));
  EXPECT_THAT(std::string(StatusWith("mmap", ENOMEM).message()), HasSubstr("smaller capacity"));
  EXPECT_THAT(std::string(StatusWith("eventfd", EMFILE).message()), HasSubstr("eventfd answered EMFILE"));
  EXPECT_THAT(std::string(StatusWith("mbind to check", EIO).message()), HasSubstr("the node is full"));
}

TEST(NumaTierTest, WithoutMovePagesItAsksPageByPageAndWithoutThatTooItIsRefused) {
  PlayedNuma system;
  system.refused["move_pages to ask"] = -EPERM;
  const auto tier = NumaTier::Create(Options(), system);
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_EQ(system.made.count("get_mempolicy"), 1u);
  EXPECT_EQ((*tier)->Placement()->on_node, kGranule.count() / 4096);
  system.refused["get_mempolicy"] = -EPERM;
  EXPECT_EQ(NumaTier::Create(Options(), system).status().code(), absl::StatusCode::kPermissionDenied)
      << "where pages lie must be known";
}

// Whichever call fails, with whatever errno: an error that names the node, or a tier whose bytes are right.
TEST(NumaTierTest, EverySystemCallMayFail) {
  const Frames frames(2, kGranule);
  for (const char* call : {"mmap", "madvise huge pages", "populate", "mbind", "mbind to check", "move_pages to ask",
                           "move_pages", "get_mempolicy", "copy", "sysfs", "eventfd"}) {
    for (const int error : {EPERM, ENOSYS, ENOMEM, EIO, EINVAL, EFAULT}) {
      SCOPED_TRACE(testing::Message() << call << " answers " << error);
      PlayedNuma system;
      system.refused[call] = -error;
      const auto tier = NumaTier::Create(Options(), system);
      if (!tier.ok()) {
        EXPECT_THAT(std::string(tier.status().message()), HasSubstr("numa:0"));
        continue;
      }
      const SlotId slot = (*tier)->AllocateSlot();
      ASSERT_NE(slot, kNoSlot);
      frames.Fill(0, 9);
      frames.Clear(1);
      std::vector<Completion> completions;
      ASSERT_EQ((*tier)->Submit({{1, Direction::kOut, slot, frames[0]}}), 1);
      while (completions.empty()) (*tier)->Reap(&completions, -1);
      if (completions[0].error != 0) {
        EXPECT_EQ(completions[0].error, error);
        continue;
      }
      EXPECT_EQ((*tier)->ReadSync(slot, frames[1]), 0);
      EXPECT_TRUE(frames.Holds(1, 9));
    }
  }
}

}  // namespace
}  // namespace thermocline::tier

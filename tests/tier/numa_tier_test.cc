// What the memory tier promises beyond the conformance suite: no page on another node, ever; and what it says when the
// system refuses. Node 0 is real; other nodes and refusals are played.
#include "src/tier/numa_tier.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "src/tier/tier_spec.h"
#include "tests/tier/frames.h"

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

// The real calls, of which some fail; and a machine with a node 1 whose free pages are counted.
class PlayedNuma : public NumaSystem {
 public:
  std::map<std::string, int> refused;  // call -> minus errno
  std::set<std::string> made;
  bool two_nodes = false;
  int64_t node1_free_pages = 1 << 20;
  std::set<const void*> on_node1;

  char* Map(int64_t bytes, int* error) override {
    if ((*error = -Refusal("mmap")) != 0) return nullptr;
    return real_.Map(bytes, error);
  }
  int Unmap(char* at, int64_t bytes) override { return real_.Unmap(at, bytes); }
  int AdviseHugePages(char* at, int64_t bytes, bool wanted) override {
    const int refusal = Refusal("madvise huge pages");
    return refusal != 0 ? refusal : real_.AdviseHugePages(at, bytes, wanted);
  }
  int Populate(char* at, int64_t bytes) override {
    const int refusal = Refusal("populate");
    return refusal != 0 ? refusal : real_.Populate(at, bytes);
  }
  int Discard(char* at, int64_t bytes) override {
    for (int64_t page = 0; page < bytes; page += 4096) node1_free_pages += on_node1.erase(at + page);
    return real_.Discard(at, bytes);
  }
  int Bind(char* at, int64_t bytes, MemoryPolicy policy, int node, bool check) override {
    const int refusal = Refusal(check ? "mbind to check" : "mbind");
    if (refusal != 0 || two_nodes) return refusal;
    return real_.Bind(at, bytes, policy, node, check);
  }
  int MovePages(absl::Span<void* const> pages, int node, absl::Span<int> status) override {
    const int refusal = Refusal(node < 0 ? "move_pages to ask" : "move_pages");
    if (refusal != 0) return refusal;
    if (!two_nodes) return real_.MovePages(pages, node, status);
    for (size_t i = 0; i < pages.size(); ++i) {
      if (node == 1 && on_node1.count(pages[i]) == 0 && node1_free_pages > 0) {
        --node1_free_pages;
        on_node1.insert(pages[i]);
      }
      status[i] = node < 0 || on_node1.count(pages[i]) > 0 ? static_cast<int>(on_node1.count(pages[i])) : -ENOMEM;
    }
    return 0;
  }
  int NodeOf(void* at) override {
    const int refusal = Refusal("get_mempolicy");
    if (refusal != 0) return refusal;
    return two_nodes ? static_cast<int>(on_node1.count(at)) : real_.NodeOf(at);
  }
  int CopyFrom(void* to, const void* from, int64_t bytes) override {
    const int refusal = Refusal("copy");
    return refusal != 0 ? refusal : real_.CopyFrom(to, from, bytes);
  }
  std::string ReadText(const char* path) override {
    if (Refusal("sysfs") != 0) return "";
    if (two_nodes && std::string(path).find("node1/") != std::string::npos) {
      return "Node 1 MemTotal:        4194304 kB\nNode 1 MemFree:         1048576 kB\n";
    }
    return real_.ReadText(path);
  }
  int EventFd() override {
    const int refusal = Refusal("eventfd");
    return refusal != 0 ? refusal : real_.EventFd();
  }

 private:
  int Refusal(const std::string& call) {
    made.insert(call);
    const auto at = refused.find(call);
    return at == refused.end() ? 0 : at->second;
  }
  NumaSystem& real_ = RealNumaSystem();
};

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

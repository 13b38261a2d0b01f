#include "src/tier/tier_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tier/played_numa.h"

namespace thermocline::tier {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(absl::string_view spec) {
  const absl::StatusOr<TierRequest> request = ParseTierSpec(spec);
  EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument) << spec;
  return std::string(request.status().message());
}

TEST(TierSpecTest, AFileIsNamedByItsDirectoryAlone) {
  const absl::StatusOr<TierRequest> request = ParseTierSpec("file:/var/tmp");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->kind, TierRequest::Kind::kFile);
  EXPECT_EQ(request->directory, "/var/tmp");
  EXPECT_EQ(request->capacity, Bytes(0));
  EXPECT_EQ(request->backend, FileBackend::kAuto);
}

TEST(TierSpecTest, AFileTakesItsSettingsInAnyOrder) {
  const absl::StatusOr<TierRequest> request =
      ParseTierSpec("file:/data/slow,engine=threads,depth=8,daily_writes=500GiB,capacity=64GiB");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->directory, "/data/slow");
  EXPECT_EQ(request->backend, FileBackend::kThreads);
  EXPECT_EQ(request->queue_depth, 8);
  EXPECT_EQ(request->daily_write_cap, GiB(500));
  EXPECT_EQ(request->capacity, GiB(64));
}

TEST(TierSpecTest, AMemoryNodeIsNamedByItsNumber) {
  const absl::StatusOr<TierRequest> request = ParseTierSpec("numa:3");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->kind, TierRequest::Kind::kNuma);
  EXPECT_EQ(request->node, 3);
}

TEST(TierSpecTest, AnEmulatedTierHasASpeedEachWay) {
  const absl::StatusOr<TierRequest> request =
      ParseTierSpec("emulated:in=1GB/s,out=500MB/s,latency=80us,duplex=full,addressable=yes,capacity=1GiB");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->kind, TierRequest::Kind::kEmulated);
  EXPECT_EQ(request->in.rate(), 1e9);
  EXPECT_EQ(request->out.rate(), 5e8);
  EXPECT_DOUBLE_EQ(request->latency_seconds, 80e-6);
  EXPECT_TRUE(request->full_duplex);
  EXPECT_TRUE(request->addressable);
  EXPECT_EQ(request->capacity, GiB(1));
}

TEST(TierSpecTest, ErrorsNameTheBadPartAndWhatWouldBeRight) {
  EXPECT_THAT(ErrorOf("tape:/dev/st0"), HasSubstr("file:DIR"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("no such kind"));
  EXPECT_THAT(ErrorOf("file:"), HasSubstr("directory is missing"));
  EXPECT_THAT(ErrorOf("file:/x,capacity=lots"), HasSubstr("capacity=lots"));
  EXPECT_THAT(ErrorOf("file:/x,engine=steam"), HasSubstr("'steam' is not an engine"));
  EXPECT_THAT(ErrorOf("file:/x,depth=0"), HasSubstr("1 to 1024"));
  EXPECT_THAT(ErrorOf("file:/x,latency=1us"), HasSubstr("no such setting"));
  EXPECT_THAT(ErrorOf("file:/x,capacity"), HasSubstr("name=value"));
  EXPECT_THAT(ErrorOf("file:/x,depth=2,depth=3"), HasSubstr("given twice"));
  EXPECT_THAT(ErrorOf("numa:one"), HasSubstr("write numa:1"));
  EXPECT_THAT(ErrorOf("numa:-1"), HasSubstr("not a memory node"));
  EXPECT_THAT(ErrorOf("emulated:in=1GB/s"), HasSubstr("out=1GB/s"));
  EXPECT_THAT(ErrorOf("emulated:out=1GB/s"), HasSubstr("in=1GB/s"));
  EXPECT_THAT(ErrorOf("emulated:in=fast,out=1GB/s"), HasSubstr("not a bandwidth"));
  EXPECT_THAT(ErrorOf("emulated:in=1GB/s,out=1GB/s,duplex=some"), HasSubstr("half or full"));
}

TEST(TierSpecTest, AMemoryNodeTakesACapacityAndNothingElse) {
  const absl::StatusOr<TierRequest> request = ParseTierSpec("numa:1,capacity=8GiB");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->node, 1);
  EXPECT_EQ(request->capacity, GiB(8));
  EXPECT_THAT(ErrorOf("numa:1,in=1GB/s"), HasSubstr("it has capacity"));
}

TEST(TierSpecTest, TheSpecMakesTheTierItNames) {
  const auto file = MakeBlockTier(*ParseTierSpec("file:/var/tmp,capacity=8MiB,engine=threads"), MiB(2));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT((*file)->Describe(), HasSubstr("file:/var/tmp"));
  EXPECT_EQ((*file)->capacity(), MiB(8));
  const auto emulated = MakeBlockTier(*ParseTierSpec("emulated:in=1GB/s,out=1GB/s,capacity=8MiB"), MiB(2));
  ASSERT_TRUE(emulated.ok()) << emulated.status();
  EXPECT_EQ((*emulated)->capacity(), MiB(8));
  EXPECT_FALSE((*emulated)->addressable());
  EXPECT_FALSE((*file)->addressable());
  const auto in_place = MakeBlockTier(*ParseTierSpec("emulated:in=1GB/s,out=1GB/s,addressable=yes"), MiB(2));
  ASSERT_TRUE(in_place.ok()) << in_place.status();
  EXPECT_TRUE((*in_place)->addressable());
  EXPECT_THAT((*in_place)->Describe(), HasSubstr("addressable=yes"));
  PlayedNuma numa;
  PlayTwoNodes(&numa);
  const auto node = MakeBlockTier(*ParseTierSpec("numa:1,capacity=8MiB"), MiB(2), {nullptr, &numa});
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ((*node)->capacity(), MiB(8));
  EXPECT_TRUE((*node)->addressable());
}

TEST(TierSpecTest, ATierWithoutRoomForAGranuleIsSaidToBeFull) {
  const auto tier = MakeBlockTier(*ParseTierSpec("emulated:in=1GB/s,out=1GB/s,capacity=2MiB"), MiB(2));
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_TRUE(CheckRoom(**tier).ok());
  EXPECT_TRUE(CheckRoom(**tier).ok()) << "looking took the room";
  ASSERT_NE((*tier)->AllocateSlot(), kNoSlot);
  const absl::Status full = CheckRoom(**tier);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("no room for one granule of 2.00 MiB"));
}

}  // namespace
}  // namespace thermocline::tier

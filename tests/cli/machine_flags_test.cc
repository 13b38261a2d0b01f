#include "src/cli/machine_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/cli/command.h"
#include "src/cli/suggest.h"

namespace thermocline::cli {
namespace {

using ::testing::HasSubstr;

TEST(TierSpec, IsReadWithItsDefaults) {
  const auto tier = ParseTierSpec("cxl:in=10GB/s,out=5GB/s,latency=80us,duplex=full,addressable=yes,capacity=64GiB");
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_EQ(tier->name, "cxl");
  EXPECT_DOUBLE_EQ(tier->in.rate(), 10e9);
  EXPECT_DOUBLE_EQ(tier->out.rate(), 5e9);
  EXPECT_DOUBLE_EQ(tier->latency_seconds, 80e-6);
  EXPECT_TRUE(tier->full_duplex);
  EXPECT_TRUE(tier->byte_addressable);
  EXPECT_EQ(tier->capacity, GiB(64));
  const auto plain = ParseTierSpec("ssd:in=1GB/s");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->out, plain->in);
  EXPECT_FALSE(plain->full_duplex);
}

TEST(TierSpec, RefusesWhatItDoesNotKnowAndShowsTheRightWay) {
  for (const char* text : {"", "ssd", ":in=1GB/s", "ssd:", "ssd:out=1GB/s", "ssd:in=fast", "ssd:in=1GB/s,duplex=maybe",
                           "ssd:in=1GB/s,in=2GB/s", "ssd:in=1GB/s,speed=2", "ssd:in=0GB/s", "ssd:in=1GB/s,,"}) {
    const auto tier = ParseTierSpec(text);
    ASSERT_FALSE(tier.ok()) << text;
    EXPECT_TRUE(IsUsageError(tier.status()));
    EXPECT_THAT(std::string(tier.status().message()), HasSubstr("ssd:in=1.3GB/s")) << text;
  }
}

TEST(ComputeScale, DividesTimesOrUsesTheRoofline) {
  profile::Profile profile;
  profile.layers.resize(2);
  profile.layers[0].seconds = 10;
  profile.layers[0].flops = 6e12;
  profile.layers[0].bytes = 6e12;
  profile.layers[1].seconds = 4;
  EXPECT_EQ(ApplyComputeScale(*ParseComputeScale("flops=6e12,memory=1TB/s"), &profile), 1);
  EXPECT_DOUBLE_EQ(profile.layers[0].seconds, 6);
  EXPECT_DOUBLE_EQ(profile.layers[1].seconds, 4);
  EXPECT_EQ(ApplyComputeScale(*ParseComputeScale("scale=2"), &profile), 0);
  EXPECT_DOUBLE_EQ(profile.layers[0].seconds, 3);
  for (const char* text : {"", "scale=0", "scale=nan", "scale=inf", "flops=1e9", "memory=1GB/s", "speed=3", "scale"}) {
    EXPECT_FALSE(ParseComputeScale(text).ok()) << text;
  }
}

TEST(Suggest, FindsSlipsOfTheFingerOnly) {
  const std::vector<std::string> names = {"simulate", "report", "plan"};
  EXPECT_EQ(Suggest("simulaet", names), "simulate");
  EXPECT_EQ(Suggest("paln", names), "plan");
  EXPECT_EQ(Suggest("xyzzy", names), "");
  EXPECT_EQ(Suggest("", names), "");
}

}  // namespace
}  // namespace thermocline::cli

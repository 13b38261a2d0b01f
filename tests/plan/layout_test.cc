#include "src/plan/layout.h"

#include <chrono>
#include <random>

#include "gtest/gtest.h"
#include "src/plan/pack.h"
#include "src/profile/lifetime.h"
#include "tests/plan/synthetic_profiles.h"

namespace thermocline::plan {
namespace {

using profile::Lifetime;
using profile::Profile;
using profile::Tensor;

Tensor Make(int64_t id, Bytes bytes, int birth, int death) {
  Tensor tensor;
  tensor.id = TensorId(id);
  tensor.bytes = bytes;
  tensor.birth = LayerId(birth);
  tensor.death = LayerId(death);
  return tensor;
}

Profile Steps(int layers) {
  Profile profile;
  profile.layers.resize(layers);
  return profile;
}

TEST(PackTest, BlocksWithDisjointLivesShareAnAddress) {
  const std::vector<Block> blocks = {{100, Lifetime{0, 2}}, {100, Lifetime{2, 4}}, {100, Lifetime{1, 3}}};
  const Packed packed = Pack(blocks, {0, 1, 2});
  EXPECT_EQ(packed.offsets[0], 0);
  EXPECT_EQ(packed.offsets[1], 0);
  EXPECT_EQ(packed.offsets[2], 100);
  EXPECT_EQ(packed.end, 200);
}

TEST(PackTest, TheSmallestGapThatFitsIsTaken) {
  // Alive with all: a gap of 300 at 100, one of 200 at 500.
  const std::vector<Block> blocks = {{100, Lifetime{0, 9}}, {300, Lifetime{0, 1}}, {100, Lifetime{0, 9}},
                                     {200, Lifetime{0, 1}}, {100, Lifetime{0, 9}}, {150, Lifetime{5, 6}}};
  const Packed packed = Pack(blocks, {0, 1, 2, 3, 4, 5});
  EXPECT_EQ(packed.offsets[5], 500);
}

TEST(LayoutTest, ShortLivedTensorsGetARegionOfTheirPeak) {
  Profile profile = Steps(3);
  profile.tensors = {Make(0, MiB(3), 0, 0), Make(1, MiB(2), 1, 1), Make(2, MiB(2), 1, 1), Make(3, MiB(5), 0, 2)};
  const Layout layout = MakeLayout(profile, MiB(2), MiB(10).count());
  EXPECT_EQ(layout.short_lived_begin, MiB(10).count());
  EXPECT_EQ(layout.short_lived_bytes, MiB(4));
  EXPECT_EQ(layout.regions[0], Region::kShortLived);
  EXPECT_EQ(layout.regions[3], Region::kMigratable);
  EXPECT_EQ(layout.offsets[3], MiB(14).count());
  EXPECT_EQ(layout.end, MiB(19).count());
}

TEST(LayoutTest, WhatLiesAlreadyStaysAndNewTensorsGoAboveIt) {
  Profile profile = Steps(3);
  profile.tensors = {Make(0, MiB(3), -1, -1), Make(1, MiB(2), 0, 2)};
  profile.tensors[0].fixed_offset = MiB(1).count();
  const Layout layout = MakeLayout(profile, MiB(2), 0);
  EXPECT_EQ(layout.offsets[0], MiB(1).count());
  EXPECT_EQ(layout.regions[0], Region::kFixed);
  EXPECT_EQ(layout.offsets[1], MiB(4).count());
  EXPECT_EQ(layout.footprint, MiB(6));
}

TEST(LayoutTest, SmallTensorsOfOneLifeShareAGranule) {
  Profile profile = Steps(10);
  // Two kinds of life, interleaved; eight of each make one granule.
  for (int i = 0; i < 16; ++i) {
    profile.tensors.push_back(Make(i, KiB(256), i % 2, 5 + i % 2));
    profile.tensors.back().accesses = {{.layer = LayerId(i % 2), .write = true}};
  }
  const Layout layout = MakeLayout(profile, MiB(2), 0);
  for (int i = 2; i < 16; ++i) {
    EXPECT_EQ(layout.offsets[i] / MiB(2).count(), layout.offsets[i % 2] / MiB(2).count()) << i;
  }
  EXPECT_NE(layout.offsets[0] / MiB(2).count(), layout.offsets[1] / MiB(2).count());
}

TEST(LayoutTest, OfOneLifeThoseThatAreTouchedTogetherShareAGranule) {
  Profile profile = Steps(10);
  // Alive together all the time; one half is used in layer 3, the other often. Eight of each make one granule.
  for (int i = 0; i < 16; ++i) {
    profile.tensors.push_back(Make(i, KiB(256), 0, 8));
    profile.tensors.back().accesses = {{.layer = LayerId(0), .write = true}, {.layer = LayerId(3), .read = true}};
    if (i % 2 == 0) continue;
    for (int layer = 4; layer < 8; ++layer) {
      profile.tensors.back().accesses.push_back({.layer = LayerId(layer), .read = true});
    }
  }
  const Layout layout = MakeLayout(profile, MiB(2), 0);
  for (int i = 2; i < 16; ++i) {
    EXPECT_EQ(layout.offsets[i] / MiB(2).count(), layout.offsets[i % 2] / MiB(2).count()) << i;
  }
  EXPECT_NE(layout.offsets[0] / MiB(2).count(), layout.offsets[1] / MiB(2).count());
}

TEST(LayoutTest, ALifeThatWrapsNeverMeetsTheStepsEndOrStart) {
  Profile profile = Steps(10);
  profile.tensors = {Make(0, MiB(2), 8, 1), Make(1, MiB(2), 9, 9), Make(2, MiB(2), 0, 3), Make(3, MiB(2), 2, 7)};
  profile.tensors[1].death = LayerId(9);
  const Layout layout = MakeLayout(profile, MiB(2), 0);
  EXPECT_NE(layout.offsets[0], layout.offsets[1]);
  EXPECT_NE(layout.offsets[0], layout.offsets[2]);
  EXPECT_EQ(layout.offsets[0], layout.offsets[3]);
}

TEST(LayoutTest, ANetsFramesAreCloseToItsPeak) {
  const Profile net = ConvNet();
  const Layout layout = MakeLayout(net, MiB(2), 0);
  const double ratio = static_cast<double>(layout.footprint.count()) / static_cast<double>(net.peak_bytes.count());
  std::printf("conv net: peak %.0f MB, frames %.0f MB (%.3f)\n", net.peak_bytes.count() / 1e6,
              layout.footprint.count() / 1e6, ratio);
  EXPECT_LE(ratio, 1.035);
}

TEST(LayoutTest, TenThousandTensorsAreQuick) {
  std::mt19937_64 random(7);
  Profile profile = Steps(2000);
  for (int i = 0; i < 10000; ++i) {
    const int birth = static_cast<int>(random() % 1900);
    profile.tensors.push_back(
        Make(i, KiB(64 + static_cast<int64_t>(random() % 4096)), birth, birth + static_cast<int>(random() % 100)));
  }
  const auto start = std::chrono::steady_clock::now();
  const Layout layout = MakeLayout(profile, MiB(2), 0);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("10000 tensors: %.3f s, %.3f of the peak\n", seconds.count(),
              static_cast<double>(layout.footprint.count()) / static_cast<double>(PeakBytes(profile).count()));
  // 0.2 s on an idle machine; sanitizers and neighbours are slower.
  EXPECT_LT(seconds.count(), 4.0);
}

}  // namespace
}  // namespace thermocline::plan

#include "src/plan/granule_timeline.h"

#include "gtest/gtest.h"
#include "src/plan/gaps.h"

namespace thermocline::plan {
namespace {

using profile::Profile;
using profile::Tensor;

constexpr int kLayers = 10;
constexpr Bytes kGranule = MiB(2);

// A step of ten layers, tensor by tensor.
class TimelineTest : public ::testing::Test {
 protected:
  TimelineTest() { profile_.layers.resize(kLayers); }

  Tensor& Add(int64_t offset, Bytes bytes, int birth, int death) {
    Tensor tensor;
    tensor.id = TensorId(static_cast<int64_t>(profile_.tensors.size()));
    tensor.bytes = bytes;
    tensor.birth = LayerId(birth);
    tensor.death = LayerId(death);
    offsets_.push_back(offset);
    return profile_.tensors.emplace_back(tensor);
  }
  static void Read(Tensor& tensor, int layer) { tensor.accesses.push_back({.layer = LayerId(layer), .read = true}); }
  static void Write(Tensor& tensor, int layer) { tensor.accesses.push_back({.layer = LayerId(layer), .write = true}); }
  static void Overwrite(Tensor& tensor, int layer) {
    tensor.accesses.push_back({.layer = LayerId(layer), .write = true, .overwrite = true});
  }

  GranuleTimeline Timeline() {
    EXPECT_TRUE(profile::Validate(profile_).ok()) << profile::Validate(profile_);
    return MakeTimeline(profile_, offsets_, kGranule);
  }

  Profile profile_;
  std::vector<int64_t> offsets_;
};

TEST_F(TimelineTest, WhatIsBornNeedsNoContentAndLivesUntilItIsFreed) {
  Tensor& tensor = Add(0, MiB(2), 2, 7);
  Write(tensor, 2);
  Read(tensor, 5);
  const GranuleTimeline timeline = Timeline();
  ASSERT_EQ(timeline.granules.size(), 1);
  const std::vector<GranuleUse>& uses = timeline.granules[0].uses;
  ASSERT_EQ(uses.size(), 2);
  EXPECT_EQ(uses[0], (GranuleUse{.layer = 2, .write = true, .next = 3, .live_for = 3}));
  EXPECT_EQ(
      uses[1],
      (GranuleUse{.layer = 5, .read = true, .live_before = true, .needs_content = true, .next = 7, .live_for = 2}));
}

TEST_F(TimelineTest, ANeighbourThatLivesMakesABirthNeedTheGranulesContent) {
  Tensor& old = Add(0, MiB(1), 0, 9);
  Write(old, 0);
  Read(old, 9);
  Tensor& born = Add(MiB(1).count(), MiB(1), 4, 6);
  Write(born, 4);
  const GranuleTimeline timeline = Timeline();
  const GranuleUse& birth = timeline.granules[0].uses[1];
  EXPECT_EQ(birth.layer, 4);
  EXPECT_TRUE(birth.live_before);
  EXPECT_TRUE(birth.needs_content);
  EXPECT_EQ(birth.live_for, 5);
}

TEST_F(TimelineTest, AnOverwriteNeedsNoContentButWhatItOverwritesWasAlive) {
  Tensor& gradient = Add(0, MiB(2), -1, -1);
  Overwrite(gradient, 3);
  Read(gradient, 8);
  const GranuleTimeline timeline = Timeline();
  EXPECT_TRUE(timeline.granules[0].always_live);
  EXPECT_TRUE(timeline.granules[0].uses[0].live_before);
  EXPECT_FALSE(timeline.granules[0].uses[0].needs_content);
  EXPECT_TRUE(timeline.granules[0].uses[1].needs_content);
}

TEST_F(TimelineTest, ALifeThatWrapsKeepsItsContentAcrossTheStepsEnd) {
  Tensor& tensor = Add(0, MiB(2), 8, 1);
  Read(tensor, 1);
  Write(tensor, 8);
  const GranuleTimeline timeline = Timeline();
  const std::vector<GranuleUse>& uses = timeline.granules[0].uses;
  EXPECT_EQ(
      uses[0],
      (GranuleUse{.layer = 1, .read = true, .live_before = true, .needs_content = true, .next = 7, .live_for = 0}));
  EXPECT_EQ(uses[1], (GranuleUse{.layer = 8, .write = true, .next = 3, .live_for = 3}));
}

TEST_F(TimelineTest, TheFirstTouchOfANewTensorCountsAsAWrite) {
  Tensor& tensor = Add(0, MiB(2), 2, 4);
  Read(tensor, 2);  // the profile saw only this
  EXPECT_TRUE(Timeline().granules[0].uses[0].write);
}

TEST_F(TimelineTest, ATensorOverTwoGranulesTouchesBoth) {
  Tensor& tensor = Add(MiB(1).count(), MiB(2), -1, -1);
  Read(tensor, 0);
  const GranuleTimeline timeline = Timeline();
  ASSERT_EQ(timeline.granules.size(), 2);
  EXPECT_EQ(timeline.granules[0].granule, GranuleId(0));
  EXPECT_EQ(timeline.granules[1].granule, GranuleId(1));
  EXPECT_EQ(timeline.granules[1].uses[0].next, kLayers);
}

TEST_F(TimelineTest, AGapIsLiveToItsEndOrToADeathOrDead) {
  Tensor& tensor = Add(0, MiB(2), 2, 6);
  Write(tensor, 2);
  Read(tensor, 4);
  const std::vector<Gap> gaps = MakeGaps(Timeline());
  ASSERT_EQ(gaps.size(), 3);
  EXPECT_EQ(gaps[0].kind, GapKind::kLive);
  EXPECT_EQ(gaps[0].begin, 2);
  EXPECT_EQ(gaps[0].end, 4);
  EXPECT_EQ(gaps[0].last_write, 2);
  EXPECT_EQ(gaps[1].kind, GapKind::kLiveToDeath);
  EXPECT_EQ(gaps[1].begin, 4);
  EXPECT_EQ(gaps[1].end, 7);
  EXPECT_EQ(gaps[1].last_write, 2);
  EXPECT_EQ(gaps[2].kind, GapKind::kDead);
  EXPECT_EQ(gaps[2].begin, 6);
  EXPECT_EQ(gaps[2].end, 12);
}

TEST_F(TimelineTest, AWriteBackWaitsForReadsThatEndSoon) {
  Tensor& tensor = Add(0, MiB(2), -1, -1);
  Write(tensor, 1);
  Read(tensor, 2);
  const std::vector<double> quick = StartTimes({1, 1, 0.001, 1, 1, 1, 1, 1, 1, 1});
  const std::vector<double> slow = StartTimes({1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  std::vector<Gap> gaps = MakeGaps(Timeline());
  ASSERT_EQ(gaps.size(), 2);
  EXPECT_EQ(gaps[1].begin, 2);
  DelayWrites(quick, &gaps);
  EXPECT_EQ(gaps[1].WriteFrom(), 3);
  DelayWrites(slow, &gaps);
  EXPECT_EQ(gaps[1].WriteFrom(), 2);
  EXPECT_EQ(gaps[0].WriteFrom(), 2) << "nobody reads it after the write";
}

TEST_F(TimelineTest, LayersBelowTheFloorLoseTheUsesOfTheRarestGranules) {
  for (int g = 0; g < 3; ++g) {
    Tensor& tensor = Add(g * kGranule.count(), kGranule, -1, -1);
    Read(tensor, 0);
    if (g > 0) Read(tensor, 5);
  }
  GranuleTimeline timeline = Timeline();
  EXPECT_EQ(TrimToBudget(3, &timeline), 0);
  EXPECT_EQ(TrimToBudget(2, &timeline), 1);
  EXPECT_TRUE(timeline.granules[0].uses.empty());
  EXPECT_EQ(NeededFrames(timeline)[0], 2);
}

}  // namespace
}  // namespace thermocline::plan

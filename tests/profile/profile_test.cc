#include "src/profile/profile.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/profile/lifetime.h"

namespace thermocline::profile {
namespace {

using ::testing::HasSubstr;

Tensor Make(int64_t id, int64_t bytes, int birth, int death) {
  Tensor tensor;
  tensor.id = TensorId(id);
  tensor.bytes = Bytes(bytes);
  tensor.birth = LayerId(birth);
  tensor.death = LayerId(death);
  return tensor;
}

Profile Layers(int count) {
  Profile profile;
  profile.layers.resize(count);
  for (Layer& layer : profile.layers) layer.seconds = 1;
  return profile;
}

void Touch(Tensor* tensor, int layer, bool write) {
  Access access{LayerId(layer)};
  access.read = !write;
  access.write = write;
  tensor->accesses.push_back(access);
}

TEST(ProfileTest, ATensorIsAliveFromItsBirthToItsDeath) {
  const Tensor tensor = Make(0, 1, 2, 4);
  EXPECT_FALSE(AliveIn(tensor, LayerId(1)));
  EXPECT_TRUE(AliveIn(tensor, LayerId(2)));
  EXPECT_TRUE(AliveIn(tensor, LayerId(4)));
  EXPECT_FALSE(AliveIn(tensor, LayerId(5)));
}

TEST(ProfileTest, ALifeMayWrapAroundTheStepsEnd) {
  const Tensor tensor = Make(0, 1, 7, 2);
  EXPECT_TRUE(AliveIn(tensor, LayerId(7)));
  EXPECT_TRUE(AliveIn(tensor, LayerId(9)));
  EXPECT_TRUE(AliveIn(tensor, LayerId(0)));
  EXPECT_TRUE(AliveIn(tensor, LayerId(2)));
  EXPECT_FALSE(AliveIn(tensor, LayerId(3)));
  EXPECT_FALSE(AliveIn(tensor, LayerId(6)));
}

TEST(ProfileTest, WhatLivesAcrossStepsIsAlwaysAlive) {
  EXPECT_TRUE(AliveIn(Make(0, 1, -1, -1), LayerId(0)));
  EXPECT_TRUE(AliveIn(Make(0, 1, 5, -1), LayerId(0)));
}

TEST(ProfileTest, WhatWasThereBeforeTheStepLivesUntilItIsFreed) {
  EXPECT_TRUE(AliveIn(Make(0, 1, -1, 3), LayerId(0)));
  EXPECT_TRUE(AliveIn(Make(0, 1, -1, 3), LayerId(3)));
  EXPECT_FALSE(AliveIn(Make(0, 1, -1, 3), LayerId(4)));
}

TEST(ProfileTest, ThePeakCountsWhatIsAliveTogetherByLayers) {
  Profile profile = Layers(10);
  profile.tensors = {Make(0, 100, -1, -1), Make(1, 10, 0, 3), Make(2, 20, 3, 5), Make(3, 40, 8, 0)};
  // Layer 3: 100 + 10 + 20; layer 0: 100 + 10 + 40.
  EXPECT_EQ(PeakBytes(profile), Bytes(150));
}

TEST(ProfileTest, EventsTellWhatALayerHidesAboutThePeak) {
  Profile profile = Layers(2);
  profile.tensors = {Make(0, 100, 0, 1), Make(1, 100, 1, 1)};
  EXPECT_EQ(PeakBytes(profile), Bytes(200));
  profile.tensors[0].birth_event = 0;
  profile.tensors[0].death_event = 1;  // freed in layer 1, before the other one is born there
  profile.tensors[1].birth_event = 2;
  profile.tensors[1].death_event = 3;
  EXPECT_EQ(PeakBytes(profile), Bytes(100));
}

TEST(ProfileTest, EventsOfALifeThatWrapsCountAtBothEnds) {
  Profile profile = Layers(4);
  profile.tensors = {Make(0, 64, 3, 0), Make(1, 8, 0, 0), Make(2, 8, 1, 2)};
  int64_t event = 0;
  profile.tensors[1].birth_event = event++;
  profile.tensors[0].death_event = event++;
  profile.tensors[1].death_event = event++;
  profile.tensors[2].birth_event = event++;
  profile.tensors[2].death_event = event++;
  profile.tensors[0].birth_event = event++;
  EXPECT_EQ(PeakBytes(profile), Bytes(72));
}

TEST(ProfileTest, TheFloorIsTheLayerThatTouchesMost) {
  Profile profile = Layers(3);
  profile.tensors = {Make(0, 100, -1, -1), Make(1, 30, 1, 2)};
  Touch(&profile.tensors[0], 0, false);
  Touch(&profile.tensors[0], 1, false);
  Touch(&profile.tensors[1], 1, true);
  EXPECT_EQ(FloorBytes(profile).bytes, Bytes(130));
  EXPECT_EQ(FloorBytes(profile).layer, LayerId(1));
  profile.layers[1].floor = Bytes(60);  // it says itself what it needs at once
  EXPECT_EQ(FloorBytes(profile).bytes, Bytes(100));
  EXPECT_EQ(FloorBytes(profile).layer, LayerId(0));
}

TEST(ProfileTest, StepsThatAllocateTheSameHaveTheSameSequence) {
  Profile a = Layers(3);
  a.tensors = {Make(0, 5000, 0, 1), Make(1, 9000, 1, 2)};
  a.tensors[0].ordinal = 0;
  a.tensors[1].ordinal = 0;
  Profile b = a;
  std::swap(b.tensors[0], b.tensors[1]);
  b.layers[0].seconds = 7;
  b.tensors[0].bytes = Bytes(8999);  // rounds to the same
  EXPECT_EQ(SequenceHash(a), SequenceHash(b));
  EXPECT_NE(ContentHash(a), ContentHash(b));
  b.tensors[0].bytes = Bytes(20000);
  EXPECT_NE(SequenceHash(a), SequenceHash(b));
  b = a;
  b.layers.emplace_back();
  EXPECT_NE(SequenceHash(a), SequenceHash(b));
  b = a;
  b.tensors.push_back(Make(2, 77, 0, 0));  // another thread's: not matched
  EXPECT_EQ(SequenceHash(a), SequenceHash(b));
}

TEST(ProfileTest, HashesAreTheSameInEveryProcess) {
  Profile profile = Layers(2);
  profile.tensors = {Make(0, 4096, 0, 1)};
  profile.tensors[0].ordinal = 0;
  // Saved plans carry them: a change here makes every saved plan stale, and must be meant.
  EXPECT_EQ(SequenceHash(profile), 13523897470526998564u);
  EXPECT_EQ(ContentHash(profile), 13847275646537164139u);
}

TEST(ProfileTest, ContentHashSeesEveryField) {
  Profile profile = Layers(3);
  profile.tensors = {Make(0, 4096, 0, 1)};
  Touch(&profile.tensors[0], 0, true);
  const uint64_t before = ContentHash(profile);
  const auto changed = [&](auto change) {
    Profile copy = profile;
    change(&copy);
    return ContentHash(copy) != before;
  };
  EXPECT_TRUE(changed([](Profile* p) { p->model = "x"; }));
  EXPECT_TRUE(changed([](Profile* p) { p->batch = 2; }));
  EXPECT_TRUE(changed([](Profile* p) { p->peak_bytes = Bytes(2); }));
  EXPECT_TRUE(changed([](Profile* p) { p->layers[1].seconds = 2; }));
  EXPECT_TRUE(changed([](Profile* p) { p->layers[1].name = "conv"; }));
  EXPECT_TRUE(changed([](Profile* p) { p->layers[1].floor = Bytes(2); }));
  EXPECT_TRUE(changed([](Profile* p) { p->tensors[0].bytes = Bytes(2); }));
  EXPECT_TRUE(changed([](Profile* p) { p->tensors[0].death = LayerId(2); }));
  EXPECT_TRUE(changed([](Profile* p) { p->tensors[0].fixed_offset = 0; }));
  EXPECT_TRUE(changed([](Profile* p) { p->tensors[0].accesses[0].read = true; }));
  EXPECT_TRUE(changed([](Profile* p) { p->tensors[0].accesses[0].pages = 3; }));
}

// A profile that is fine, to be spoilt.
Profile Good() {
  Profile profile = Layers(5);
  profile.tensors = {Make(3, 100, 1, 3)};
  Touch(&profile.tensors[0], 1, true);
  Touch(&profile.tensors[0], 3, false);
  return profile;
}

std::string Refusal(const Profile& profile) {
  const absl::Status status = Validate(profile);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

TEST(ProfileValidateTest, TakesWhatMakesSense) { EXPECT_TRUE(Validate(Good()).ok()) << Validate(Good()); }

TEST(ProfileValidateTest, RefusesTouchesOutsideALifeNamingTensorAndLayer) {
  Profile profile = Good();
  Touch(&profile.tensors[0], 4, false);
  EXPECT_THAT(Refusal(profile), AllOf(HasSubstr("tensor 3"), HasSubstr("layer 4"), HasSubstr("not alive")));
}

TEST(ProfileValidateTest, RefusesLayersOutOfRange) {
  Profile profile = Good();
  profile.tensors[0].death = LayerId(5);
  EXPECT_THAT(Refusal(profile), HasSubstr("layers go from 0 to 4"));
  profile = Good();
  profile.tensors[0].birth = LayerId(-2);
  EXPECT_THAT(Refusal(profile), HasSubstr("tensor 3"));
  profile = Good();
  profile.tensors[0].accesses[1].layer = LayerId(17);
  EXPECT_THAT(Refusal(profile), HasSubstr("layer 17"));
}

TEST(ProfileValidateTest, RefusesAProfileWithoutLayers) { EXPECT_THAT(Refusal(Profile()), HasSubstr("no layers")); }

TEST(ProfileValidateTest, RefusesSizesThatAreNegativeOrOverflow) {
  Profile profile = Good();
  profile.tensors[0].bytes = Bytes(-1);
  EXPECT_THAT(Refusal(profile), HasSubstr("-1 bytes is not a size"));
  profile = Good();
  profile.tensors[0].bytes = Bytes(int64_t{1} << 62);
  profile.tensors.push_back(Make(4, 1, 0, 0));
  EXPECT_THAT(Refusal(profile), HasSubstr("2^62"));
}

TEST(ProfileValidateTest, RefusesTimesThatAreNoTimes) {
  for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    Profile profile = Good();
    profile.layers[2].seconds = bad;
    EXPECT_THAT(Refusal(profile), HasSubstr("layer 2"));
  }
}

TEST(ProfileValidateTest, RefusesIdsThatAreThereTwice) {
  Profile profile = Good();
  profile.tensors.push_back(profile.tensors[0]);
  EXPECT_THAT(Refusal(profile), HasSubstr("twice"));
}

TEST(ProfileValidateTest, RefusesAccessesThatAreUnsortedOrEmpty) {
  Profile profile = Good();
  std::swap(profile.tensors[0].accesses[0], profile.tensors[0].accesses[1]);
  EXPECT_THAT(Refusal(profile), HasSubstr("sorted"));
  profile = Good();
  profile.tensors[0].accesses[1].read = false;
  EXPECT_THAT(Refusal(profile), HasSubstr("neither reads nor writes"));
  profile = Good();
  profile.tensors[0].accesses[1].overwrite = true;
  EXPECT_THAT(Refusal(profile), HasSubstr("without writing"));
}

TEST(LifetimeTest, LivesThatWrapOverlapWithBothEndsOfTheStep) {
  Profile profile = Layers(10);
  profile.tensors = {Make(0, 1, 8, 1), Make(1, 1, 0, 0), Make(2, 1, 9, 9), Make(3, 1, 2, 7), Make(4, 1, 7, 2)};
  const std::vector<Lifetime> lives = Lifetimes(profile);
  EXPECT_TRUE(lives[0].Overlaps(lives[1]));
  EXPECT_TRUE(lives[0].Overlaps(lives[2]));
  EXPECT_FALSE(lives[0].Overlaps(lives[3]));
  EXPECT_FALSE(lives[3].Overlaps(lives[0]));
  EXPECT_TRUE(lives[0].Overlaps(lives[4]));
  EXPECT_TRUE(lives[3].Overlaps(lives[4]));
  EXPECT_EQ(lives[0].length(), 4);
}

}  // namespace
}  // namespace thermocline::profile

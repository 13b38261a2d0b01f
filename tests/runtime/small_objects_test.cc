// Objects under 32 KiB from before the profiled step share pages: they are in no profile, no plan moves them, each plan
// leaves room for them, and they are right whenever they are touched.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "src/runtime/runtime.h"
#include "tests/runtime/network_on_runtime.h"

namespace thermocline {
namespace {

constexpr Bytes kSmall = KiB(20);
constexpr int kObjects = 48;
// A size that nothing else has: where it lies in the plan says where the arena begins.
constexpr Bytes kAnchor = KiB(500);

std::set<GranuleId> GranulesOfActions(const plan::MigrationPlan& plan) {
  std::set<GranuleId> granules(plan.resident_at_start.begin(), plan.resident_at_start.end());
  for (const plan::LayerActions& actions : plan.layers) {
    for (const auto* list : {&actions.release, &actions.write_back, &actions.provide, &actions.need}) {
      granules.insert(list->begin(), list->end());
    }
    for (const plan::Fetch& fetch : actions.fetch) granules.insert(fetch.granule);
  }
  return granules;
}

TEST(SmallObjects, FromBeforeTheProfiledStepAreMovedByNoPlanAndLeftRoomFor) {
  constexpr Bytes kFast = MiB(5);
  const auto runtime = *runtime::Runtime::Create(SmallSettings("emulated:in=4GB/s,out=4GB/s", kFast, "lookahead"));
  const auto allocate = [&](Bytes bytes) { return static_cast<char*>(runtime->Allocate(bytes, Bytes(64))); };
  char* const anchor = allocate(kAnchor);
  std::memset(anchor, 1, kAnchor.count());
  std::vector<char*> objects;
  for (int i = 0; i < kObjects; ++i) {
    objects.push_back(allocate(kSmall));
    std::memset(objects.back(), i, kSmall.count());
  }
  SmallNetwork network(On(*runtime), kNetworkLayers, kNetworkWidth);
  for (int step = 0; step < 4; ++step) network.Step(step);
  const runtime::Shape* const shape = runtime->current_shape();
  ASSERT_NE(shape, nullptr);
  ASSERT_NE(shape->plan, nullptr);
  const plan::MigrationPlan& plan = *shape->plan;

  for (const profile::Tensor& tensor : shape->profile.tensors) EXPECT_GE(tensor.bytes, arena::Allocator::kSmallest);
  const auto lies = std::find_if(plan.placements.begin(), plan.placements.end(),
                                 [](const plan::Placement& placement) { return placement.bytes == kAnchor; });
  ASSERT_NE(lies, plan.placements.end());
  const char* const base = anchor - lies->offset;
  const std::set<GranuleId> moved = GranulesOfActions(plan);
  EXPECT_FALSE(moved.empty());
  std::set<GranuleId> slabs;
  for (const char* object : objects) {
    for (const char* end : {object, object + kSmall.count() - 1}) {
      slabs.insert(GranuleId(static_cast<uint32_t>((end - base) / kNetworkGranule.count())));
    }
  }
  for (const GranuleId id : slabs) EXPECT_FALSE(moved.contains(id)) << id.value();
  EXPECT_LE(plan.budget + kNetworkGranule * std::ssize(slabs), kFast);
  EXPECT_GT(plan.budget, Bytes(0));

  for (int step = 4; step < 10; ++step) {
    network.Step(step);
    for (int i = 0; i < kObjects; ++i) {
      EXPECT_TRUE(std::all_of(objects[i], objects[i] + kSmall.count(), [i](char byte) { return byte == i; })) << i;
    }
  }
  EXPECT_EQ(runtime->Stats().mismatched, 0);
  for (char* object : objects) EXPECT_TRUE(runtime->Free(object));
  EXPECT_TRUE(runtime->Free(anchor));
}

}  // namespace
}  // namespace thermocline

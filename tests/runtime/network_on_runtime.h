// The small network on a runtime of small granules, and on malloc.
#ifndef THERMOCLINE_TESTS_RUNTIME_NETWORK_ON_RUNTIME_H_
#define THERMOCLINE_TESTS_RUNTIME_NETWORK_ON_RUNTIME_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "src/runtime/runtime.h"
#include "tests/runtime/known_link.h"
#include "tests/runtime/small_network.h"

namespace thermocline {

inline constexpr int kNetworkLayers = 12;
inline constexpr int64_t kNetworkWidth = 96 * 1024;  // floats: 384 KiB a tensor, about 10 MiB at the peak
inline constexpr Bytes kNetworkGranule = KiB(64);

inline runtime::Settings SmallSettings(const std::string& slow, Bytes fast, const std::string& planner,
                                       const std::string& kernel_faults = "off") {
  runtime::RawSettings raw;
  raw.fast = std::to_string(fast.count());
  raw.slow = slow;
  raw.planner = planner;
  raw.granule_bytes = kNetworkGranule.count();
  raw.kernel_faults = kernel_faults;
  runtime::Settings settings = SettingsWithKnownLink(raw);
  settings.held_frames = true;
  return settings;
}

inline NetworkHooks On(runtime::Runtime& runtime) {
  NetworkHooks hooks;
  hooks.allocate = [&](size_t bytes) { return runtime.Allocate(Bytes(static_cast<int64_t>(bytes)), Bytes(64)); };
  hooks.free = [&](void* pointer) { EXPECT_TRUE(runtime.Free(pointer)); };
  hooks.begin_step = [&] { EXPECT_TRUE(runtime.BeginStep().ok()); };
  hooks.add_layer = [&] { EXPECT_TRUE(runtime.AddLayer("").ok()); };
  hooks.end_step = [&] { EXPECT_TRUE(runtime.EndStep().ok()); };
  return hooks;
}

inline NetworkHooks OnMalloc() {
  return {[](size_t bytes) { return std::malloc(bytes); }, [](void* pointer) { std::free(pointer); }};
}

// One a step, on batches of these sizes.
inline std::vector<double> Losses(NetworkHooks hooks, const std::vector<int>& scales) {
  SmallNetwork network(std::move(hooks), kNetworkLayers, kNetworkWidth);
  std::vector<double> losses;
  for (size_t step = 0; step < scales.size(); ++step) {
    losses.push_back(network.Step(static_cast<int>(step), scales[step]));
  }
  return losses;
}

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_RUNTIME_NETWORK_ON_RUNTIME_H_

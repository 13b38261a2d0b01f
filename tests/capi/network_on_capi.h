// The small network on a runtime behind the C API, and on malloc.
#ifndef THERMOCLINE_TESTS_CAPI_NETWORK_ON_CAPI_H_
#define THERMOCLINE_TESTS_CAPI_NETWORK_ON_CAPI_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/small_network.h"
#include "thermocline/runtime.h"

namespace thermocline {

inline constexpr int kNetworkLayers = 12;
inline constexpr int64_t kNetworkWidth = 96 * 1024;  // floats: 384 KiB a tensor, about 10 MiB at the peak
inline constexpr char kEmulated[] = "emulated:in=2GB/s,out=2GB/s";

inline std::unique_ptr<Runtime> SmallRuntime(const std::string& fast, const std::string& slow = kEmulated,
                                             const std::string& planner = "") {
  setenv("THERMOCLINE_LINK", "in=2GB/s,out=2GB/s", 1);  // known, so that the start needs no measurement
  Status status;
  auto runtime = Runtime::Create({.fast = fast, .slow = slow, .planner = planner, .granule_bytes = 64 << 10}, &status);
  EXPECT_NE(runtime, nullptr) << status.message();
  return runtime;
}

inline NetworkHooks On(Runtime& runtime) {
  NetworkHooks hooks;
  hooks.allocate = [&](size_t bytes) { return runtime.Allocate(bytes); };
  hooks.free = [&](void* pointer) { EXPECT_EQ(tc_free(runtime.handle(), pointer), TC_OK) << tc_last_error(); };
  const auto check = [](const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); };
  hooks.begin_step = [&runtime, check] { check(runtime.BeginStep()); };
  hooks.add_layer = [&runtime, check] { check(runtime.AddLayer()); };
  hooks.end_step = [&runtime, check] { check(runtime.EndStep()); };
  return hooks;
}

inline NetworkHooks OnMalloc() {
  return {[](size_t bytes) { return std::malloc(bytes); }, [](void* pointer) { std::free(pointer); }};
}

inline std::vector<double> Losses(NetworkHooks hooks, int steps, int first = 0) {
  SmallNetwork network(std::move(hooks), kNetworkLayers, kNetworkWidth);
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) losses.push_back(network.Step(first + step));
  return losses;
}

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_CAPI_NETWORK_ON_CAPI_H_

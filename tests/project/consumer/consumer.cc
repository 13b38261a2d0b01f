// Allocates through the C++ API of an installed library, and through a std::pmr container on it.
#include <thermocline/runtime.h>
#include <cstdio>
#include <cstdlib>
#include <memory_resource>
#include <vector>

int main() {
  thermocline::Status status;
  auto runtime = thermocline::Runtime::Create({.fast = "64MiB", .slow = "emulated:in=1GB/s,out=1GB/s"}, &status);
  if (runtime == nullptr) {
    std::printf("Create: %s\n", status.message().c_str());
    return 1;
  }
  thermocline::MemoryResource resource(runtime.get());
  std::pmr::vector<float> tensor(1 << 20, 1.0f, &resource);
  if (tensor.back() != 1.0f) return 1;

  // The paper's three calls, on the process's runtime.
  setenv("THERMOCLINE_FAST", "64MiB", 1);
  setenv("THERMOCLINE_SLOW", "emulated:in=1GB/s,out=1GB/s", 1);
  if (!thermocline::start_profile().ok()) return 1;
  for (int layer = 0; layer < 3; ++layer) {
    if (!thermocline::add_layer().ok()) return 1;
    tc_free(nullptr, tc_alloc(nullptr, 1 << 20));
  }
  if (!thermocline::end_profile().ok() || thermocline::end_profile().ok()) return 1;
  std::printf("thermocline %s\n", tc_version());
  return 0;
}

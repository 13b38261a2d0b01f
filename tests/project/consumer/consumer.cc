// Allocates through the C++ API of an installed library, and through a std::pmr container on it.
#include <cstdio>
#include <memory_resource>
#include <thermocline/runtime.h>
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
  std::printf("thermocline %s\n", tc_version());
  return 0;
}

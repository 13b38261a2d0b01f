#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/topology/probe_support.h"
#include "src/topology/probes.h"

namespace thermocline::topology {

// The library is left loaded: drivers do not survive being unloaded.
ProbeRecord ProbeCudaDriver(const ProbeMachine& machine) {
  const std::string what = "CUDA driver";
  const std::string fallback = "no GPU tier; tensors stay in host memory";
  void* library = dlopen(machine.cuda_library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* error = dlerror();
    return {what, absl::StrCat("dlopen: ", error != nullptr ? error : "no reason given"), fallback};
  }
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(library, "cuInit"));
  const auto get_version = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDriverGetVersion"));
  const auto get_count = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDeviceGetCount"));
  if (init == nullptr || get_version == nullptr || get_count == nullptr) {
    return {what, absl::StrCat(machine.cuda_library, " lacks cuInit, cuDriverGetVersion or cuDeviceGetCount"),
            fallback};
  }
  if (const int error = init(0); error != 0) {
    return {what, absl::StrCat("cuInit: CUDA error ", error), fallback};
  }
  int version = 0;
  int devices = 0;
  if (const int error = get_version(&version); error != 0) {
    return {what, absl::StrCat("cuDriverGetVersion: CUDA error ", error), fallback};
  }
  if (const int error = get_count(&devices); error != 0) {
    return {what, absl::StrCat("cuDeviceGetCount: CUDA error ", error), fallback};
  }
  const std::string answer =
      absl::StrFormat("driver for CUDA %d.%d, %d device(s)", version / 1000, version % 1000 / 10, devices);
  return {what, answer, devices > 0 ? "" : fallback};
}

}  // namespace thermocline::topology

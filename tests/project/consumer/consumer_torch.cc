// PyTorch's tensors in the memory of an installed library, and its operators as layers, through the installed adapter.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <c10/util/Exception.h>
#include <thermocline/torch.h>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#ifndef NDEBUG
#error "PyTorch's headers are to be compiled with -DNDEBUG, which comes with the adapter's flags"
#endif

namespace {

constexpr int64_t kFloats = 1 << 20;

// Exceptions of the adapter's own, and of PyTorch's libraries through it, are caught by their types.
bool ThrowsWhatItSays(thermocline::Runtime* other) {
  int caught = 0;
  try {
    at::empty({int64_t{1} << 48});
  } catch (const c10::OutOfMemoryError&) {
    ++caught;
  }
  try {
    thermocline::torch::InstallAllocator(other);
  } catch (const c10::Error&) {
    ++caught;
  }
  return caught == 2;
}

// The profile names the operators: the adapter and PyTorch agree on what a callback is given.
bool Profiled(thermocline::Runtime* runtime, const std::string& path) {
  if (!runtime->SaveProfile(path).ok()) return false;
  std::ifstream file(path);
  const std::string profile{std::istreambuf_iterator<char>(file), {}};
  std::remove(path.c_str());
  return profile.find("\"aten::add\"") != std::string::npos;
}

}  // namespace

int main(int, char** argv) {
  thermocline::Status status;
  const thermocline::Options options{.fast = "64MiB", .slow = "emulated:in=1GB/s,out=1GB/s"};
  auto* runtime = thermocline::Runtime::Create(options, &status).release();  // never destroyed: tensors outlive main
  if (runtime == nullptr) {
    std::printf("Create: %s\n", status.message().c_str());
    return 1;
  }
  thermocline::torch::InstallAllocator(runtime);
  thermocline::torch::MarkOperators(runtime);
  for (int step = 0; step < 3; ++step) {
    if (!runtime->BeginStep().ok()) return 1;
    const at::Tensor sum = at::ones({kFloats}).add(at::ones({kFloats}));
    if (sum.data_ptr<float>()[kFloats - 1] != 2.0f) return 1;
    if (!runtime->EndStep().ok() || !thermocline::torch::TakeMarkError().ok()) return 1;
  }
  if (runtime->Stats().peak_live_bytes < 3 * kFloats * sizeof(float)) {
    std::printf("the tensors are not in the runtime's memory\n");
    return 1;
  }
  if (!Profiled(runtime, std::string(argv[0]) + ".profile")) {
    std::printf("the operators are not in the profile\n");
    return 1;
  }
  if (!ThrowsWhatItSays(thermocline::Runtime::Create(options).release())) {
    std::printf("an exception was not caught by its type\n");
    return 1;
  }
  std::printf("thermocline %s\n", tc_version());
  return 0;
}

#include <atomic>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include "thermocline/torch.h"

// Allocator::copy_data came with 2.1, where it is pure virtual.
#define THERMOCLINE_TORCH_HAS_COPY_DATA \
  (TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 1))

namespace thermocline::torch {
namespace {

// libtorch's own allocators have priority 0.
constexpr uint8_t kPriority = 100;

// The one runtime behind the process's CPU allocator: a deleter gets the pointer and nothing else.
std::atomic<tc_runtime*> installed{nullptr};

void Free(void* pointer) {
  if (pointer == nullptr) return;
  c10::profiledCPUMemoryReporter().Delete(pointer);
  tc_free(installed.load(std::memory_order_relaxed), pointer);
}

void* AllocateOrThrow(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* pointer = tc_alloc(installed.load(std::memory_order_relaxed), bytes);
  if (pointer == nullptr) {
    c10::profiledCPUMemoryReporter().OutOfMemory(bytes);
    C10_THROW_ERROR(OutOfMemoryError, c10::str("Thermocline: not enough memory: you tried to allocate ", bytes,
                                               " bytes. ", tc_last_error()));
  }
  c10::profiledCPUMemoryReporter().New(pointer, bytes);
  return pointer;
}

class Allocator final : public c10::Allocator {
 public:
#if THERMOCLINE_TORCH_HAS_COPY_DATA
  c10::DataPtr allocate(std::size_t bytes) override { return Make(bytes); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
#else
  c10::DataPtr allocate(std::size_t bytes) const override { return Make(bytes); }
#endif
  c10::DeleterFnPtr raw_deleter() const override { return &Free; }

 private:
  static c10::DataPtr Make(std::size_t bytes) {
    void* pointer = AllocateOrThrow(bytes);
    return {pointer, pointer, &Free, c10::Device(c10::DeviceType::CPU)};
  }
};

}  // namespace

void InstallAllocator(Runtime* runtime) {
  TORCH_CHECK(runtime != nullptr, "InstallAllocator: the runtime is null; Runtime::Create's status says why");
  tc_runtime* expected = nullptr;
  if (!installed.compare_exchange_strong(expected, runtime->handle())) {
    TORCH_CHECK(expected == runtime->handle(),
                "InstallAllocator: another runtime holds this process's CPU tensors already; there can be one");
    return;
  }
  static Allocator* const allocator = new Allocator;  // never destroyed: tensors outlive main
  c10::SetCPUAllocator(allocator, kPriority);
}

}  // namespace thermocline::torch

// The c10::Allocator that libtorch's CPU tensors come from once the adapter is installed.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include "tests/conformance/runtime_under_test.h"
#include "thermocline/torch.h"

namespace thermocline {
namespace {

// A process has one, for its life.
Runtime* TheRuntime() {
  static Runtime* const runtime = [] {
    Runtime* made = RuntimeUnderTest::Make().release();
    if (made != nullptr) torch::InstallAllocator(made);
    return made;
  }();
  return runtime;
}

class Libtorch final : public RuntimeUnderTest {
 public:
  using RuntimeUnderTest::RuntimeUnderTest;
  void* Allocate(size_t bytes) override {
    try {
      return c10::GetCPUAllocator()->raw_allocate(bytes);
    } catch (const c10::Error&) {
      return nullptr;
    }
  }
  void Free(void* pointer, size_t) override { c10::GetCPUAllocator()->raw_deallocate(pointer); }
};

const auto kLibtorch = ::testing::Values(AllocatorKind{"Libtorch", []() -> std::unique_ptr<AllocatorUnderTest> {
                                                         Runtime* const runtime = TheRuntime();
                                                         return runtime == nullptr
                                                                    ? nullptr
                                                                    : std::make_unique<Libtorch>(runtime->handle());
                                                       }});

}  // namespace

INSTANTIATE_TEST_SUITE_P(Torch, AllocatorConformance, kLibtorch, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Torch, ThreadedAllocatorConformance, kLibtorch, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Torch, RefusingAllocatorConformance, kLibtorch, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Torch, ForeignFreeConformance, kLibtorch, AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Torch, BudgetedAllocatorConformance, kLibtorch, AllocatorKindName);

}  // namespace thermocline

#include "thermocline/torch.h"

#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/types.h>

#include <thread>

#include "tests/adapters/torch/fake_runtime.h"

namespace thermocline {
namespace {

using fake::notes;
using fake::Touched;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kLarge = 1 << 17;  // floats: 512 KiB, over the default threshold

// The adapter's hooks are for the life of a process, so all tests share one runtime.
Runtime* runtime() {
  static Runtime* const runtime = [] {
    Runtime* made = Runtime::Create({}).release();
    torch::InstallAllocator(made);
    torch::MarkOperators(made);
    return made;
  }();
  return runtime;
}

class TorchAdapter : public ::testing::Test {
 protected:
  TorchAdapter() {
    runtime();
    Forget();
  }
  // Drops what setting a test up has noted.
  static void Forget() {
    notes().layers.clear();
    notes().touches.clear();
  }
};

TEST_F(TorchAdapter, GivesTensorsTheRuntimesMemoryAndTakesItBack) {
  const size_t before = notes().live.size();
  {
    const at::Tensor tensor = at::empty({1000});
    ASSERT_EQ(notes().live.size(), before + 1);
    EXPECT_EQ(notes().live.at(tensor.data_ptr()), 4000u);
  }
  EXPECT_EQ(notes().live.size(), before);
  EXPECT_EQ(notes().frees_of_strangers, 0);
}

TEST_F(TorchAdapter, ServesRawAllocations) {
  c10::Allocator* allocator = c10::GetCPUAllocator();
  const size_t before = notes().live.size();
  void* pointer = allocator->raw_allocate(100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(pointer) % 64, 0u);
  EXPECT_EQ(notes().live.size(), before + 1);
  allocator->raw_deallocate(pointer);
  EXPECT_EQ(notes().live.size(), before);
}

TEST_F(TorchAdapter, GivesAnEmptyTensorNoMemory) {
  const size_t before = notes().live.size();
  const at::Tensor tensor = at::empty({0});
  EXPECT_EQ(notes().live.size(), before);
}

TEST_F(TorchAdapter, RunsOutOfMemoryAsTheFrameworkDoes) {
  notes().refuse_from = 1 << 20;
  try {
    at::empty({1 << 20});
    ADD_FAILURE() << "an allocation that the runtime refused went through";
  } catch (const c10::OutOfMemoryError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("both tiers are full"));
  }
  notes().refuse_from = SIZE_MAX;
}

TEST_F(TorchAdapter, RefusesASecondRuntime) {
  const std::unique_ptr<Runtime> other = Runtime::Create({});
  EXPECT_THROW(torch::InstallAllocator(other.get()), c10::Error);
  EXPECT_NO_THROW(torch::InstallAllocator(runtime()));
}

TEST_F(TorchAdapter, BeginsALayerAtEachOperatorForwardAndBackward) {
  const at::Tensor weight = ::torch::randn({8, 4, 3, 3}).requires_grad_();
  const at::Tensor images = ::torch::randn({8, 4, 64, 64}).requires_grad_();
  Forget();
  const at::Tensor loss = at::relu(at::conv2d(images, weight, {}, 1, 1)).sum();
  EXPECT_THAT(notes().layers, ElementsAre("aten::convolution", "aten::relu", "aten::sum"));
  Forget();
  loss.backward();
  EXPECT_THAT(notes().layers, Contains("aten::threshold_backward"));
  EXPECT_THAT(notes().layers, Contains("aten::convolution_backward"));
}

TEST_F(TorchAdapter, BeginsNoLayerAtAView) {
  const at::Tensor tensor = at::zeros({kLarge});
  Forget();
  const at::Tensor view = tensor.view({2, -1}).t().select(0, 1).detach();
  EXPECT_THAT(notes().layers, IsEmpty());
}

TEST_F(TorchAdapter, BeginsNoLayerAtSmallOperators) {
  const at::Tensor tensor = at::zeros({16});
  Forget();
  const at::Tensor sum = tensor + tensor;
  EXPECT_THAT(notes().layers, IsEmpty());
}

TEST_F(TorchAdapter, BeginsNoLayerOnOtherThreads) {
  const at::Tensor tensor = at::zeros({kLarge});
  Forget();
  std::thread([&] { at::relu(tensor); }).join();
  EXPECT_THAT(notes().layers, IsEmpty());
  EXPECT_THAT(notes().touches, IsEmpty());
}

TEST_F(TorchAdapter, SaysWhatAnOperatorReadsAndWrites) {
  at::Tensor to = at::zeros({kLarge});
  const at::Tensor from = at::zeros({kLarge});
  Forget();
  to.add_(from);
  EXPECT_THAT(notes().touches,
              ElementsAre(Touched{to.data_ptr(), 4 * kLarge, true}, Touched{from.data_ptr(), 4 * kLarge, false}));
}

TEST_F(TorchAdapter, SaysThePartThatAViewCovers) {
  const at::Tensor all = at::zeros({4, kLarge});
  const at::Tensor part = all.select(0, 2);
  Forget();
  at::relu(part);
  EXPECT_THAT(notes().touches, ElementsAre(Touched{part.data_ptr(), 4 * kLarge, false}));
}

TEST_F(TorchAdapter, SaysEachTensorOfAList) {
  const at::Tensor a = at::zeros({kLarge}), b = at::zeros({kLarge});
  Forget();
  at::cat({a, b});
  EXPECT_THAT(notes().touches,
              ElementsAre(Touched{a.data_ptr(), 4 * kLarge, false}, Touched{b.data_ptr(), 4 * kLarge, false}));
}

TEST_F(TorchAdapter, MarksTheNextOperatorAfterOneThatThrew) {
  const at::Tensor tensor = at::zeros({kLarge});
  EXPECT_THROW(at::mm(tensor, tensor), c10::Error);
  Forget();
  at::relu(tensor);
  EXPECT_THAT(notes().layers, ElementsAre("aten::relu"));
}

TEST_F(TorchAdapter, KeepsAnIoErrorUntilItIsAskedFor) {
  const at::Tensor tensor = at::zeros({kLarge});
  notes().layer_status = TC_IO_ERROR;
  at::relu(tensor);
  notes().layer_status = TC_OK;
  EXPECT_EQ(torch::TakeMarkError().code(), TC_IO_ERROR);
  EXPECT_TRUE(torch::TakeMarkError().ok());
}

TEST_F(TorchAdapter, TakesAMarkBetweenStepsForNoError) {
  const at::Tensor tensor = at::zeros({kLarge});
  notes().layer_status = TC_FAILED_PRECONDITION;
  at::relu(tensor);
  notes().layer_status = TC_OK;
  EXPECT_TRUE(torch::TakeMarkError().ok());
}

}  // namespace
}  // namespace thermocline

// The demo's peak: the largest sum of what live tensors asked for, without the data set, which no allocator gave.
#include "examples/demo/counting_allocator.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <vector>

namespace thermocline::demo {
namespace {

TEST(CountingAllocator, ThePeakIsTheLargestSumOfWhatLiveTensorsAskedFor) {
  InstallCountingAllocator();
  {
    const at::Tensor all_along = at::empty({1000});
    { const at::Tensor first = at::empty({501}); }
    const at::Tensor second = at::empty({300}), third = at::empty({200});
    const at::Tensor view = all_along.view({10, 100}).select(0, 3);
    std::vector<float> images(100'000);
    const at::Tensor data = ::torch::from_blob(images.data(), {100'000});
    EXPECT_EQ(CountedPeakBytes(), 4 * (1000 + 501));
  }
  const at::Tensor alone = at::empty({1500});
  EXPECT_EQ(CountedPeakBytes(), 4 * (1000 + 501)) << "what was freed is no part of it";
}

}  // namespace
}  // namespace thermocline::demo

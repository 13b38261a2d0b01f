#include "examples/demo/resnet.h"

#include <torch/nn/functional/activation.h>
#include <torch/types.h>

namespace thermocline::demo {
namespace {

namespace nn = ::torch::nn;

nn::Conv2d Conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

constexpr int64_t kClasses = 10;

}  // namespace

BasicBlockImpl::BasicBlockImpl(int64_t in, int64_t out, int64_t stride)
    : conv1(Conv(in, out, 3, stride)), conv2(Conv(out, out, 3, 1)), norm1(out), norm2(out) {
  register_module("conv1", conv1);
  register_module("norm1", norm1);
  register_module("conv2", conv2);
  register_module("norm2", norm2);
  if (in != out || stride != 1) {
    project = register_module("project", Conv(in, out, 1, stride));
    project_norm = register_module("project_norm", nn::BatchNorm2d(out));
  }
}

::torch::Tensor BasicBlockImpl::forward(const ::torch::Tensor& x) {
  auto y = ::torch::relu(norm1(conv1(x)));
  y = norm2(conv2(y));
  y += project.is_empty() ? x : project_norm(project(x));
  return ::torch::relu_(y);
}

ResNetImpl::ResNetImpl(int64_t width, int64_t blocks_per_stage)
    : stem(Conv(1, width, 3, 1)), stem_norm(width), classify(4 * width, kClasses) {
  register_module("stem", stem);
  register_module("stem_norm", stem_norm);
  int64_t in = width;
  for (int stage = 0; stage < 3; ++stage) {
    const int64_t out = width << stage;
    for (int64_t block = 0; block < blocks_per_stage; ++block) {
      blocks->push_back(BasicBlock(in, out, stage > 0 && block == 0 ? 2 : 1));
      in = out;
    }
  }
  register_module("blocks", blocks);
  register_module("classify", classify);
}

::torch::Tensor ResNetImpl::forward(const ::torch::Tensor& images) {
  auto x = ::torch::relu(stem_norm(stem(images)));
  x = blocks->forward(x);
  return classify(x.mean({2, 3}));
}

}  // namespace thermocline::demo

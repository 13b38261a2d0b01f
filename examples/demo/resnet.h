// ResNet for small images: three stages of basic blocks of two 3x3 convolutions, each stage twice as wide and half as
// large as the one before (He et al., 2016, section 4.2). Five blocks a stage is ResNet-32; width 16 is the paper's.
//
// Thread safety: as torch::nn::Module.
#ifndef THERMOCLINE_EXAMPLES_DEMO_RESNET_H_
#define THERMOCLINE_EXAMPLES_DEMO_RESNET_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

namespace thermocline::demo {

struct BasicBlockImpl : ::torch::nn::Module {
  BasicBlockImpl(int64_t in, int64_t out, int64_t stride);
  ::torch::Tensor forward(const ::torch::Tensor& x);

  ::torch::nn::Conv2d conv1, conv2, project{nullptr};
  ::torch::nn::BatchNorm2d norm1, norm2, project_norm{nullptr};
};
TORCH_MODULE(BasicBlock);

struct ResNetImpl : ::torch::nn::Module {
  ResNetImpl(int64_t width, int64_t blocks_per_stage);
  ::torch::Tensor forward(const ::torch::Tensor& images);  // N x 1 x H x W to N x 10 scores

  ::torch::nn::Conv2d stem;
  ::torch::nn::BatchNorm2d stem_norm;
  ::torch::nn::Sequential blocks;
  ::torch::nn::Linear classify;
};
TORCH_MODULE(ResNet);

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_RESNET_H_

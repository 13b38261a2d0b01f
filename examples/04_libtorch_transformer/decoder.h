// Decoder: a small Transformer that predicts the next byte of a text from those before it (pre-norm, learnt positions).
//
// Thread safety: as torch::nn::Module.
#ifndef THERMOCLINE_EXAMPLES_04_LIBTORCH_TRANSFORMER_DECODER_H_
#define THERMOCLINE_EXAMPLES_04_LIBTORCH_TRANSFORMER_DECODER_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

struct DecoderOptions {
  int64_t layers = 6;
  int64_t width = 256;
  int64_t heads = 4;
  int64_t context = 256;  // bytes that it sees
};

struct BlockImpl : torch::nn::Module {
  explicit BlockImpl(const DecoderOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::Tensor Attend(const torch::Tensor& x);

  int64_t heads_;
  torch::nn::LayerNorm norm1_, norm2_;
  torch::nn::Linear qkv_, project_, widen_, narrow_;
};
TORCH_MODULE(Block);

struct DecoderImpl : torch::nn::Module {
  static constexpr int64_t kSymbols = 256;

  explicit DecoderImpl(const DecoderOptions& options);
  torch::Tensor forward(const torch::Tensor& bytes);  // batch x context, to batch x context x kSymbols scores

 private:
  torch::nn::Embedding symbols_, positions_;
  torch::nn::Sequential blocks_;
  torch::nn::LayerNorm norm_;
  torch::nn::Linear scores_;
};
TORCH_MODULE(Decoder);

#endif  // THERMOCLINE_EXAMPLES_04_LIBTORCH_TRANSFORMER_DECODER_H_

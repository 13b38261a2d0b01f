#include "examples/04_libtorch_transformer/decoder.h"

#include <torch/types.h>

#include <cmath>
#include <limits>

namespace nn = torch::nn;

namespace {
nn::LayerNorm Norm(int64_t width) { return nn::LayerNorm(nn::LayerNormOptions({width})); }
}  // namespace

BlockImpl::BlockImpl(const DecoderOptions& o)
    : heads_(o.heads),
      norm1_(register_module("norm1", Norm(o.width))),
      norm2_(register_module("norm2", Norm(o.width))),
      qkv_(register_module("qkv", nn::Linear(o.width, 3 * o.width))),
      project_(register_module("project", nn::Linear(o.width, o.width))),
      widen_(register_module("widen", nn::Linear(o.width, 4 * o.width))),
      narrow_(register_module("narrow", nn::Linear(4 * o.width, o.width))) {}

torch::Tensor BlockImpl::Attend(const torch::Tensor& x) {
  const int64_t batch = x.size(0), length = x.size(1), width = x.size(2), each = width / heads_;
  const auto parts = qkv_(x).view({batch, length, 3, heads_, each}).permute({2, 0, 3, 1, 4});
  const auto q = parts[0], k = parts[1], v = parts[2];
  auto weights = torch::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(each));
  const auto future = torch::ones({length, length}, torch::kBool).triu(1);
  weights = torch::softmax(weights.masked_fill(future, -std::numeric_limits<float>::infinity()), -1);
  return project_(torch::matmul(weights, v).transpose(1, 2).reshape({batch, length, width}));
}

torch::Tensor BlockImpl::forward(const torch::Tensor& x) {
  const auto y = x + Attend(norm1_(x));
  return y + narrow_(torch::gelu(widen_(norm2_(y))));
}

DecoderImpl::DecoderImpl(const DecoderOptions& o)
    : symbols_(register_module("symbols", nn::Embedding(kSymbols, o.width))),
      positions_(register_module("positions", nn::Embedding(o.context, o.width))),
      blocks_(register_module("blocks", nn::Sequential())),
      norm_(register_module("norm", Norm(o.width))),
      scores_(register_module("scores", nn::Linear(o.width, kSymbols))) {
  for (int64_t i = 0; i < o.layers; ++i) blocks_->push_back(Block(o));
}

torch::Tensor DecoderImpl::forward(const torch::Tensor& bytes) {
  const auto x = symbols_(bytes) + positions_(torch::arange(bytes.size(1)));
  return scores_(norm_(blocks_->forward(x)));
}

#include "examples/demo/trainer.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <stdexcept>
#include <string>

namespace thermocline::demo {

Trainer::Trainer(const NetworkOptions& options, int64_t steps)
    : options_(options), data_(FashionMnist::Load(options.data, steps * options.batch)) {
  if (data_.size() < options.batch) {
    throw std::runtime_error("a batch of " + std::to_string(options.batch) + " is more than the " +
                             std::to_string(data_.size()) + " images in " + options.data);
  }
  ::torch::manual_seed(1);
  net_ = ResNet(options.width, options.blocks_per_stage);
  optimizer_ =
      std::make_unique<::torch::optim::SGD>(net_->parameters(), ::torch::optim::SGDOptions(0.01).momentum(0.9));
}

float Trainer::Step() {
  constexpr int64_t kSide = FashionMnist::kSide;
  if (next_ + options_.batch > data_.size()) next_ = 0;
  const auto images = ::torch::from_blob(data_.image(next_), {options_.batch, 1, kSide, kSide}, ::torch::kFloat);
  const auto labels = ::torch::from_blob(data_.label(next_), {options_.batch}, ::torch::kLong);
  next_ += options_.batch;

  auto loss = ::torch::cross_entropy_loss(net_->forward(images), labels);
  loss.backward();
  optimizer_->step();
  // At the end, so that a step begins with nothing alive but weights and momentum.
  for (auto& parameter : net_->parameters()) parameter.mutable_grad().reset();
  return loss.item<float>();
}

}  // namespace thermocline::demo

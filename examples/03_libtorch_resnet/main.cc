// A ResNet in libtorch, in as much fast memory as you say. What Thermocline adds to a training program is marked (1) to (4).
//
//   build/bin/03_libtorch_resnet --fast 220MB
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>

#include <torch/optim/sgd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "examples/demo/fashion_mnist.h"
#include "examples/demo/resnet.h"
#include "thermocline/torch.h"

namespace {

using thermocline::demo::FashionMnist;
using thermocline::demo::ResNet;

struct Flags {
  thermocline::Options runtime;
  int64_t steps = 10, batch = 128, width = 64;
  std::string data = "/usr/share/datasets/fashion-mnist";
};

float TrainStep(ResNet& net, torch::optim::Optimizer& optimizer, FashionMnist& set, int64_t batch, int64_t step) {
  const int64_t first = step * batch;
  const auto images = torch::from_blob(set.image(first), {batch, 1, FashionMnist::kSide, FashionMnist::kSide});
  const auto labels = torch::from_blob(set.label(first), {batch}, torch::kLong);
  const auto loss = torch::cross_entropy_loss(net->forward(images), labels);
  loss.backward();
  optimizer.step();
  for (auto& parameter : net->parameters()) parameter.mutable_grad().reset();  // no gradient lives into the next step
  return loss.item<float>();
}

void Train(const Flags& flags) {
  // (1) A runtime with a fast budget. It is never destroyed: libtorch frees tensors until the process ends.
  thermocline::Status status;
  thermocline::Runtime* runtime = thermocline::Runtime::Create(flags.runtime, &status).release();
  if (runtime == nullptr) throw std::runtime_error(status.message());
  // (2) Tensors in its memory, and operators as its layers.
  thermocline::torch::InstallAllocator(runtime);
  thermocline::torch::MarkOperators(runtime);

  torch::manual_seed(1);
  FashionMnist set = FashionMnist::Load(flags.data, flags.steps * flags.batch);
  ResNet net(flags.width, 5);
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9));
  for (int64_t step = 0; step < flags.steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    // (3) Where a step begins and ends. The first ones are profiled; then a plan moves the data ahead of its use.
    runtime->BeginStep().IgnoreError();
    const float loss = TrainStep(net, optimizer, set, flags.batch, step);
    runtime->EndStep().IgnoreError();
    // (4) A slow tier that failed is said here: libtorch swallows what its callbacks throw.
    const thermocline::Status marks = thermocline::torch::TakeMarkError();
    if (!marks.ok()) throw std::runtime_error(marks.message());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const tc_stats stats = runtime->Stats();
    std::printf("step %2d: %.2f s, loss %.6f; fast %.0f MB of %.0f MB live\n", static_cast<int>(step), took.count(), loss,
                static_cast<double>(stats.fast_bytes) / 1e6, static_cast<double>(stats.peak_live_bytes) / 1e6);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a ResNet on Fashion-MNIST in a budget of fast memory.");
  Flags flags;
  app.option_defaults()->always_capture_default();
  app.add_option("--fast", flags.runtime.fast, "fast budget, such as 220MB (default: all of memory)");
  app.add_option("--slow", flags.runtime.slow, "slow tier, such as file:/var/tmp");
  app.add_option("--steps", flags.steps, "training steps")->check(CLI::PositiveNumber);
  app.add_option("--batch", flags.batch, "images a step")->check(CLI::PositiveNumber);
  app.add_option("--width", flags.width, "channels of the first stage")->check(CLI::PositiveNumber);
  app.add_option("--data", flags.data, "folder with Fashion-MNIST's train-*.gz");
  try {
    app.parse(argc, argv);
    Train(flags);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "03_libtorch_resnet: %s\n", e.what());
    return 1;
  }
  return 0;
}

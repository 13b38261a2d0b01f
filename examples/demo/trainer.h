// Trainer: the demo's network and its optimizer, step by step, the same to the last bit in every process.
//
// Thread safety: one thread; libtorch uses more within a step. Errors: what libtorch throws, std::runtime_error.
#ifndef THERMOCLINE_EXAMPLES_DEMO_TRAINER_H_
#define THERMOCLINE_EXAMPLES_DEMO_TRAINER_H_

#include <torch/optim/sgd.h>

#include <cstdint>
#include <string>

#include "examples/demo/fashion_mnist.h"
#include "examples/demo/resnet.h"

namespace thermocline::demo {

struct NetworkOptions {
  int64_t width = 64;            // of the first stage
  int64_t blocks_per_stage = 5;  // 5: ResNet-32
  int64_t batch = 128;
  std::string data = "/usr/share/datasets/fashion-mnist";
};

class Trainer {
 public:
  // Reads the images of `steps` batches. Everything that libtorch allocates from here on is the training's.
  Trainer(const NetworkOptions& options, int64_t steps);
  // One step of SGD with momentum, on the next batch; its loss.
  float Step();

 private:
  const NetworkOptions options_;
  FashionMnist data_;
  ResNet net_{nullptr};
  std::unique_ptr<::torch::optim::SGD> optimizer_;
  int64_t next_ = 0;  // the image that the next batch begins with
};

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_TRAINER_H_

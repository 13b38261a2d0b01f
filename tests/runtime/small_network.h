// A small network of layers written by hand, for tests: forward saves activations, backward reads them and updates
// weights. The same code runs on malloc and on a runtime; its losses must be equal to the last bit.
#ifndef THERMOCLINE_TESTS_RUNTIME_SMALL_NETWORK_H_
#define THERMOCLINE_TESTS_RUNTIME_SMALL_NETWORK_H_

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace thermocline {

struct NetworkHooks {
  std::function<void*(size_t)> allocate;
  std::function<void(void*)> free;
  std::function<void()> begin_step = [] {};
  std::function<void()> add_layer = [] {};
  std::function<void()> end_step = [] {};
};

class SmallNetwork {
 public:
  SmallNetwork(NetworkHooks hooks, int layers, int64_t width) : hooks_(std::move(hooks)), width_(width) {
    for (int i = 0; i < layers; ++i) {
      weights_.push_back(New(width_));
      for (int64_t j = 0; j < width_; ++j) weights_.back()[j] = 0.001f * static_cast<float>((i * 131 + j * 7) % 997);
    }
  }
  ~SmallNetwork() {
    for (float* weight : weights_) hooks_.free(weight);
  }

  // One training step on a batch `scale` times as large as a small one; returns a number that depends on every byte.
  double Step(int step, int scale = 1) {
    hooks_.begin_step();
    const int64_t size = width_ * scale;
    std::vector<float*> saved;
    float* input = New(size);
    for (int64_t i = 0; i < size; ++i) input[i] = static_cast<float>((i + step) % 251) * 0.01f;
    saved.push_back(input);
    for (float* weight : weights_) {
      hooks_.add_layer();
      float* scratch = New(size);
      float* output = New(size);
      for (int64_t i = 0; i < size; ++i) scratch[i] = saved.back()[i] * weight[i % width_];
      for (int64_t i = 0; i < size; ++i) output[i] = scratch[i] * 0.5f + scratch[(i * 17) % size] * 0.25f + 0.1f;
      hooks_.free(scratch);
      saved.push_back(output);
    }
    float* gradient = New(size);
    std::memcpy(gradient, saved.back(), size * sizeof(float));
    double loss = 0;
    for (int64_t i = 0; i < size; ++i) loss += saved.back()[i];
    for (int layer = static_cast<int>(weights_.size()) - 1; layer >= 0; --layer) {
      hooks_.add_layer();
      float* next = New(size);
      for (int64_t i = 0; i < size; ++i) {
        next[i] = gradient[i] * 0.9f + saved[layer][i] * 0.01f;
        weights_[layer][i % width_] -= 1e-6f * gradient[i] * saved[layer][i];
      }
      hooks_.free(gradient);
      hooks_.free(saved[layer + 1]);
      gradient = next;
    }
    for (int64_t i = 0; i < size; ++i) loss += gradient[i] * 1e-3;
    hooks_.free(gradient);
    hooks_.free(saved[0]);
    hooks_.end_step();
    return loss;
  }

 private:
  float* New(int64_t floats) { return static_cast<float*>(hooks_.allocate(floats * sizeof(float))); }

  NetworkHooks hooks_;
  int64_t width_;
  std::vector<float*> weights_;
};

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_RUNTIME_SMALL_NETWORK_H_

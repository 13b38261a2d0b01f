// A Transformer in libtorch that learns a text byte by byte, in as much fast memory as you say. Example 03 explains what
// Thermocline adds.
//
//   build/bin/04_libtorch_transformer --fast 300MB --text FILE
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "examples/04_libtorch_transformer/decoder.h"
#include "thermocline/torch.h"

namespace {

struct Flags {
  thermocline::Options runtime;
  DecoderOptions decoder;
  int64_t steps = 20, batch = 16;
  std::string text = "/usr/share/common-licenses/GPL-3";
};

// A text as numbers, outside the memory that is managed: the data set is not the network's.
std::vector<int64_t> ReadText(const std::string& path, int64_t least) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": can't be opened; name a text file with --text");
  std::vector<int64_t> bytes;
  for (std::istreambuf_iterator<char> it(file), end; it != end; ++it) bytes.push_back(static_cast<unsigned char>(*it));
  if (static_cast<int64_t>(bytes.size()) <= least) {
    throw std::runtime_error(path + ": has " + std::to_string(bytes.size()) + " bytes, and more than " +
                             std::to_string(least) + " are needed: give a longer text or a smaller --context");
  }
  return bytes;
}

// The batch of windows that step `step` learns from, one row each, `shift` bytes on.
torch::Tensor Windows(const std::vector<int64_t>& text, const Flags& flags, int64_t step, int64_t shift,
                      std::vector<int64_t>* memory) {
  const int64_t context = flags.decoder.context, starts = static_cast<int64_t>(text.size()) - context;
  memory->clear();
  for (int64_t row = 0; row < flags.batch; ++row) {
    const int64_t start = (step * flags.batch + row) * context % starts;
    memory->insert(memory->end(), text.begin() + start + shift, text.begin() + start + shift + context);
  }
  return torch::from_blob(memory->data(), {flags.batch, context}, torch::kLong);
}

float TrainStep(Decoder& decoder, torch::optim::Optimizer& optimizer, const std::vector<int64_t>& text,
                const Flags& flags, int64_t step) {
  std::vector<int64_t> seen_memory, next_memory;
  const auto scores = decoder->forward(Windows(text, flags, step, 0, &seen_memory));
  const auto next = Windows(text, flags, step, 1, &next_memory).view(-1);
  const auto loss = torch::cross_entropy_loss(scores.view({-1, DecoderImpl::kSymbols}), next);
  loss.backward();
  optimizer.step();
  for (auto& parameter : decoder->parameters()) parameter.mutable_grad().reset();
  return loss.item<float>();
}

void Train(const Flags& flags) {
  thermocline::Status status;
  thermocline::Runtime* runtime = thermocline::Runtime::Create(flags.runtime, &status).release();  // never destroyed
  if (runtime == nullptr) throw std::runtime_error(status.message());
  thermocline::torch::InstallAllocator(runtime);
  thermocline::torch::MarkOperators(runtime);

  const std::vector<int64_t> text = ReadText(flags.text, flags.decoder.context);
  torch::manual_seed(1);
  Decoder decoder(flags.decoder);
  torch::optim::Adam optimizer(decoder->parameters(), torch::optim::AdamOptions(3e-4));
  for (int64_t step = 0; step < flags.steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    runtime->BeginStep().IgnoreError();
    const float loss = TrainStep(decoder, optimizer, text, flags, step);
    runtime->EndStep().IgnoreError();
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
  CLI::App app("Trains a byte-level Transformer on a text in a budget of fast memory.");
  Flags flags;
  app.option_defaults()->always_capture_default();
  app.add_option("--fast", flags.runtime.fast, "fast budget, such as 300MB (default: all of memory)");
  app.add_option("--slow", flags.runtime.slow, "slow tier, such as file:/var/tmp");
  app.add_option("--text", flags.text, "the text to learn");
  app.add_option("--steps", flags.steps, "training steps")->check(CLI::PositiveNumber);
  app.add_option("--batch", flags.batch, "windows a step")->check(CLI::PositiveNumber);
  app.add_option("--context", flags.decoder.context, "bytes of a window")->check(CLI::PositiveNumber);
  app.add_option("--width", flags.decoder.width, "width, a multiple of four")->check(CLI::PositiveNumber);
  app.add_option("--layers", flags.decoder.layers, "blocks")->check(CLI::PositiveNumber);
  try {
    app.parse(argc, argv);
    Train(flags);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "04_libtorch_transformer: %s\n", e.what());
    return 1;
  }
  return 0;
}

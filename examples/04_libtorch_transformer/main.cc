// A Transformer in libtorch that learns a text byte by byte, in as much fast memory as you say. Example 03 explains
// what Thermocline adds.
//
//   build/bin/04_libtorch_transformer --fast 300MB --text FILE
#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "examples/04_libtorch_transformer/decoder.h"
#include "examples/training/training_run.h"

namespace {

struct Flags {
  DecoderOptions decoder;
  int64_t batch = 16;
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

// The network with its optimizer and its place in the text.
struct Training {
  explicit Training(const Flags& of) : flags(of), text(ReadText(of.text, of.decoder.context)) {
    torch::manual_seed(1);
    decoder = Decoder(of.decoder);
    optimizer = std::make_unique<torch::optim::Adam>(decoder->parameters(), torch::optim::AdamOptions(3e-4));
  }
  float Step() { return TrainStep(decoder, *optimizer, text, flags, step++); }

  Flags flags;
  std::vector<int64_t> text;
  Decoder decoder{nullptr};
  std::unique_ptr<torch::optim::Adam> optimizer;
  int64_t step = 0;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a byte-level Transformer on a text in a budget of fast memory.", "04_libtorch_transformer");
  Flags flags;
  thermocline::examples::TrainingFlags training;
  training.steps = 20;
  thermocline::examples::AddTrainingFlags(&app, &training);
  app.add_option("--text", flags.text, "the text to learn");
  app.add_option("--batch", flags.batch, "windows a step")->check(CLI::PositiveNumber);
  app.add_option("--context", flags.decoder.context, "bytes of a window")->check(CLI::PositiveNumber);
  app.add_option("--width", flags.decoder.width, "width, a multiple of four")->check(CLI::PositiveNumber);
  app.add_option("--layers", flags.decoder.layers, "blocks")->check(CLI::PositiveNumber);
  return thermocline::examples::TrainingMain(&app, argc, argv, training, [&]() -> thermocline::examples::TrainStep {
    const auto made = std::make_shared<Training>(flags);
    return [made] { return made->Step(); };
  });
}

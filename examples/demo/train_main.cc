// thermocline_demo: one row of the demo's table. Trains a ResNet on Fashion-MNIST and says for each step how long it
// took, what moved, and the loss.
#include <CLI/CLI.hpp>
#include <memory>

#include "examples/demo/trainer.h"
#include "examples/training/training_run.h"

namespace thermocline::demo {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("Trains a ResNet on Fashion-MNIST under an allocator, and says what each step cost.",
               "thermocline_demo");
  examples::TrainingFlags flags;
  flags.allocator = "stock";
  flags.steps = 8;
  NetworkOptions network;
  examples::AddTrainingFlags(&app, &flags);
  app.add_option("--batch", network.batch, "images a step")->check(CLI::PositiveNumber);
  app.add_option("--width", network.width, "channels of the first stage")->check(CLI::PositiveNumber);
  app.add_option("--blocks", network.blocks_per_stage, "residual blocks a stage")->check(CLI::PositiveNumber);
  app.add_option("--data", network.data, "folder with Fashion-MNIST's train-*.gz");
  return examples::TrainingMain(&app, argc, argv, flags, [&]() -> examples::TrainStep {
    const auto trainer = std::make_shared<Trainer>(network, flags.steps);
    return [trainer] { return trainer->Step(); };
  });
}

}  // namespace
}  // namespace thermocline::demo

int main(int argc, char** argv) { return thermocline::demo::Main(argc, argv); }

// A ResNet in libtorch, in as much fast memory as you say. What Thermocline adds to a training program is in
// examples/training/training_run.cc, marked (1) to (4).
//
//   build/bin/03_libtorch_resnet --fast 220MB
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "examples/demo/trainer.h"
#include "examples/training/training_run.h"

using thermocline::demo::NetworkOptions;
using thermocline::demo::Trainer;

int main(int argc, char** argv) {
  CLI::App app("Trains a ResNet on Fashion-MNIST in a budget of fast memory.", "03_libtorch_resnet");
  thermocline::examples::TrainingFlags flags;
  // Another shape than the demo's: fewer and larger convolutions.
  NetworkOptions network{.width = 32, .blocks_per_stage = 3, .batch = 256};
  thermocline::examples::AddTrainingFlags(&app, &flags);
  app.add_option("--batch", network.batch, "images a step")->check(CLI::PositiveNumber);
  app.add_option("--width", network.width, "channels of the first stage")->check(CLI::PositiveNumber);
  app.add_option("--blocks", network.blocks_per_stage, "residual blocks a stage")->check(CLI::PositiveNumber);
  app.add_option("--data", network.data, "folder with Fashion-MNIST's train-*.gz");
  return thermocline::examples::TrainingMain(&app, argc, argv, flags, [&]() -> thermocline::examples::TrainStep {
    const auto trainer = std::make_shared<Trainer>(network, flags.steps);
    return [trainer] { return trainer->Step(); };
  });
}

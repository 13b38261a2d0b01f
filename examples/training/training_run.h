// What the training programs among the examples share: the flags, the runtime around the steps, and what is said of
// each step. This is all that Thermocline adds to a training program; it is marked (1) to (4) in training_run.cc.
//
// Thread safety: one thread. Ownership: the runtime is never destroyed: libtorch frees tensors until the process ends.
// Errors: std::runtime_error with the runtime's message.
#ifndef THERMOCLINE_EXAMPLES_TRAINING_TRAINING_RUN_H_
#define THERMOCLINE_EXAMPLES_TRAINING_TRAINING_RUN_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "thermocline/torch.h"

namespace thermocline::examples {

struct TrainingFlags {
  std::string allocator = "thermocline";
  Options runtime;
  int64_t steps = 10;
  int threads = 2;
  bool lockstep = false;
  bool touch = true;
  std::string json, run_log, profile, plan;
};

void AddTrainingFlags(CLI::App* app, TrainingFlags* flags);

// One training step; its loss.
using TrainStep = std::function<float()>;

// Prepares memory, makes the network by `make`, and trains: all steps at once, or as standard input says.
void RunTraining(const TrainingFlags& flags, const std::function<TrainStep()>& make);

// The main function of such a program: reads the flags and trains; what went wrong is said under the program's name.
int TrainingMain(CLI::App* app, int argc, char** argv, const TrainingFlags& flags,
                 const std::function<TrainStep()>& make);

}  // namespace thermocline::examples

#endif  // THERMOCLINE_EXAMPLES_TRAINING_TRAINING_RUN_H_

#include "examples/training/training_run.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "examples/demo/counting_allocator.h"
#include "src/base/atomic_file.h"

namespace thermocline::examples {
namespace {

using demo::CountedPeakBytes;
using demo::InstallCountingAllocator;

std::string HexFloat(float value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%a", static_cast<double>(value));
  return text;
}

// The run of one process: the steps, and what is said of them.
class Row {
 public:
  Row(const TrainingFlags& settings, const std::function<TrainStep()>& make) : settings_(settings) {
    if (settings.allocator == "stock") {
      InstallCountingAllocator();
    } else {
      // (1) A runtime with a fast budget. It is never destroyed: libtorch frees tensors until the process ends.
      Status status;
      runtime_ = Runtime::Create(settings.runtime, &status).release();
      if (runtime_ == nullptr) throw std::runtime_error(status.message());
      // (2) Tensors in its memory, and operators as its layers.
      torch::InstallAllocator(runtime_);
      torch::MarkOperators(runtime_, {.touch = settings.touch});
    }
    at::set_num_threads(settings.threads);
    train_step_ = make();
  }

  nlohmann::json Step() {
    const tc_stats before = Stats();
    const auto start = std::chrono::steady_clock::now();
    // (3) Where a step begins and ends. The first ones are profiled; then a plan moves the data ahead of its use.
    Check(runtime_ == nullptr ? Status() : runtime_->BeginStep());
    const float loss = train_step_();
    Check(runtime_ == nullptr ? Status() : runtime_->EndStep());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    // (4) A slow tier that failed is said here: libtorch swallows what its callbacks throw.
    Check(runtime_ == nullptr ? Status() : torch::TakeMarkError());
    const tc_stats after = Stats();
    nlohmann::json step = {{"step", steps_.size()},
                           {"seconds", took.count()},
                           {"loss", loss},
                           {"loss_hex", HexFloat(loss)},
                           {"peak_bytes", PeakBytes(after)},
                           {"bytes_in", after.bytes_in - before.bytes_in},
                           {"bytes_out", after.bytes_out - before.bytes_out},
                           {"exposed_seconds", (after.exposed_nanos - before.exposed_nanos) * 1e-9},
                           {"demand_fetches", after.demand_fetches - before.demand_fetches},
                           {"mismatched_allocations", after.mismatched_allocations - before.mismatched_allocations}};
    steps_.push_back(step);
    return step;
  }

  nlohmann::json Summary() {
    const tc_stats stats = Stats();
    nlohmann::json summary = {{"allocator", settings_.allocator}, {"malloc", PreloadedMalloc()}, {"steps", steps_}};
    summary["peak_bytes"] = PeakBytes(stats);
    if (runtime_ == nullptr) return summary;
    summary["runtime"] = {{"fast_budget_bytes", stats.fast_budget_bytes},
                          {"peak_fast_bytes", stats.peak_fast_bytes},
                          {"metadata_bytes", stats.metadata_bytes},
                          {"replans", stats.replans},
                          {"io_errors", stats.io_errors},
                          {"matched_allocations", stats.matched_allocations}};
    return summary;
  }

  void SaveFiles() {
    if (runtime_ == nullptr) return;
    if (!settings_.run_log.empty()) Check(runtime_->SaveRunLog(settings_.run_log));
    if (!settings_.profile.empty()) Check(runtime_->SaveProfile(settings_.profile));
    if (!settings_.plan.empty()) Check(runtime_->SavePlan(settings_.plan));
  }

 private:
  static void Check(const Status& status) {
    if (!status.ok()) throw std::runtime_error(status.message());
  }

  int64_t PeakBytes(const tc_stats& stats) const {
    return runtime_ == nullptr ? CountedPeakBytes() : static_cast<int64_t>(stats.peak_live_bytes);
  }

  tc_stats Stats() const { return runtime_ == nullptr ? tc_stats{} : runtime_->Stats(); }

  // The malloc that really serves this process: a preloaded library that is missing is only warned of by ld.so.
  static std::string PreloadedMalloc() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      for (const char* name : {"tcmalloc", "jemalloc", "mimalloc"}) {
        if (line.find(std::string("/lib") + name) != std::string::npos) return name;
      }
    }
    return "glibc";
  }

  const TrainingFlags settings_;
  Runtime* runtime_ = nullptr;
  TrainStep train_step_;
  nlohmann::json steps_ = nlohmann::json::array();
};

// Runs as many steps as each line of standard input says, one line of JSON for each, until the input ends.
void RunLockstep(Row* row, int64_t limit) {
  std::cout << nlohmann::json{{"ready", true}} << std::endl;
  int64_t count = 0;
  for (int64_t done = 0; std::cin >> count;) {
    for (; count > 0 && done < limit; --count, ++done) std::cout << row->Step() << std::endl;
  }
  row->SaveFiles();
  std::cout << nlohmann::json{{"summary", row->Summary()}} << std::endl;
}

void RunAll(Row* row, int64_t steps) {
  for (int64_t i = 0; i < steps; ++i) {
    const nlohmann::json step = row->Step();
    std::fprintf(
        stderr, "step %3" PRId64 " of %" PRId64 ": %6.3f s, loss %.9g, in %.0f MB, out %.0f MB, exposed %.3f s\n",
        i + 1, steps, step["seconds"].get<double>(), step["loss"].get<double>(), step["bytes_in"].get<double>() / 1e6,
        step["bytes_out"].get<double>() / 1e6, step["exposed_seconds"].get<double>());
  }
  row->SaveFiles();
}

}  // namespace

void AddTrainingFlags(CLI::App* app, TrainingFlags* s) {
  app->option_defaults()->always_capture_default();
  app->add_option("--allocator", s->allocator, "stock (libtorch's own, on whatever malloc is loaded) or thermocline")
      ->check(CLI::IsMember({"stock", "thermocline"}));
  app->add_option("--fast", s->runtime.fast, "fast budget, such as 200MB (default: all of memory)");
  app->add_option("--slow", s->runtime.slow, "slow tier, such as file:/var/tmp");
  app->add_option("--planner", s->runtime.planner, "lookahead, lagrangian, interval, first_touch or lru");
  app->add_flag("!--no-touch", s->touch, "don't tell the runtime what each operator reads and writes");
  app->add_option("--steps", s->steps, "training steps; the first ones warm up")->check(CLI::PositiveNumber);
  app->add_option("--threads", s->threads, "threads of libtorch")->check(CLI::PositiveNumber);
  app->add_option("--json", s->json, "write the run as JSON to this file");
  app->add_option("--profile", s->profile, "write the profiled step to this file, a trace for thermocline simulate");
  app->add_option("--plan", s->plan, "write the migration plan to this file, for thermocline explain");
  app->add_option("--run-log", s->run_log, "write the runtime's log of the run to this file, for thermocline report");
  app->add_flag("--lockstep", s->lockstep, "run as many steps as each line of standard input says")->group("");
}

void RunTraining(const TrainingFlags& flags, const std::function<TrainStep()>& make) {
  Row row(flags, make);
  flags.lockstep ? RunLockstep(&row, flags.steps) : RunAll(&row, flags.steps);
  if (flags.json.empty()) return;
  const absl::Status written = WriteFileAtomically(flags.json, row.Summary().dump(1) + "\n");
  if (!written.ok()) throw std::runtime_error(std::string(written.message()));
}

int TrainingMain(CLI::App* app, int argc, char** argv, const TrainingFlags& flags,
                 const std::function<TrainStep()>& make) {
  try {
    app->parse(argc, argv);
    RunTraining(flags, make);
  } catch (const CLI::ParseError& e) {
    return app->exit(e) == 0 ? 0 : 2;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s: %s\n", app->get_name().c_str(), e.what_without_backtrace());
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", app->get_name().c_str(), e.what());
    return 1;
  }
  return 0;
}

}  // namespace thermocline::examples

// thermocline_demo: one row of the demo's table. Trains a ResNet on Fashion-MNIST and says for each step how long it
// took, what moved, and the loss.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "examples/demo/counting_allocator.h"
#include "examples/demo/trainer.h"
#include "src/base/atomic_file.h"
#include "thermocline/torch.h"

namespace thermocline::demo {
namespace {

struct Settings {
  std::string allocator = "stock";
  Options runtime;
  NetworkOptions network;
  int64_t steps = 8;
  bool lockstep = false;
  bool touch = true;
  std::string json;
  std::string run_log;
  std::string profile;
  std::string plan;
};

std::string HexFloat(float value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%a", static_cast<double>(value));
  return text;
}

// The run of one process: the steps, and what is said of them.
class Row {
 public:
  explicit Row(const Settings& settings) : settings_(settings) {
    if (settings.allocator == "stock") {
      InstallCountingAllocator();
    } else {
      Status status;
      runtime_ = Runtime::Create(settings.runtime, &status).release();  // never destroyed: tensors outlive main
      if (runtime_ == nullptr) throw std::runtime_error(status.message());
      torch::InstallAllocator(runtime_);
      torch::MarkOperators(runtime_, {.touch = settings.touch});
    }
    trainer_ = std::make_unique<Trainer>(settings.network, settings.steps);
  }

  nlohmann::json Step() {
    const tc_stats before = Stats();
    const auto start = std::chrono::steady_clock::now();
    Check(runtime_ == nullptr ? Status() : runtime_->BeginStep());
    const float loss = trainer_->Step();
    Check(runtime_ == nullptr ? Status() : runtime_->EndStep());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
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
    summary["runtime"] = {{"fast_budget_bytes", stats.fast_budget_bytes}, {"peak_fast_bytes", stats.peak_fast_bytes},
                          {"metadata_bytes", stats.metadata_bytes},       {"replans", stats.replans},
                          {"io_errors", stats.io_errors},                 {"matched_allocations", stats.matched_allocations}};
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

  const Settings settings_;
  Runtime* runtime_ = nullptr;
  std::unique_ptr<Trainer> trainer_;
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
    std::fprintf(stderr,
                 "step %3" PRId64 " of %" PRId64 ": %6.3f s, loss %.9g, in %.0f MB, out %.0f MB, exposed %.3f s\n", i + 1,
                 steps, step["seconds"].get<double>(), step["loss"].get<double>(), step["bytes_in"].get<double>() / 1e6,
                 step["bytes_out"].get<double>() / 1e6, step["exposed_seconds"].get<double>());
  }
  row->SaveFiles();
}

void AddFlags(CLI::App* app, Settings* s) {
  app->option_defaults()->always_capture_default();
  app->add_option("--allocator", s->allocator, "stock (libtorch's own, on whatever malloc is loaded) or thermocline")
      ->check(CLI::IsMember({"stock", "thermocline"}));
  app->add_option("--fast", s->runtime.fast, "fast budget, such as 200MB (default: all of memory)");
  app->add_option("--slow", s->runtime.slow, "slow tier, such as file:/var/tmp");
  app->add_option("--planner", s->runtime.planner, "lookahead, interval, first_touch or lru");
  app->add_flag("!--no-touch", s->touch, "don't tell the runtime what each operator reads and writes");
  app->add_option("--steps", s->steps, "training steps; the first ones warm up")->check(CLI::PositiveNumber);
  app->add_option("--batch", s->network.batch, "images a step")->check(CLI::PositiveNumber);
  app->add_option("--width", s->network.width, "channels of the first stage")->check(CLI::PositiveNumber);
  app->add_option("--blocks", s->network.blocks_per_stage, "residual blocks a stage")->check(CLI::PositiveNumber);
  app->add_option("--threads", s->network.threads, "threads of libtorch")->check(CLI::PositiveNumber);
  app->add_option("--data", s->network.data, "folder with Fashion-MNIST's train-*.gz");
  app->add_option("--json", s->json, "write the run as JSON to this file");
  app->add_option("--profile", s->profile, "write the profiled step to this file, a trace for thermocline simulate");
  app->add_option("--plan", s->plan, "write the migration plan to this file, for thermocline explain");
  app->add_option("--run-log", s->run_log, "write the runtime's log of the run to this file, for thermocline report");
  app->add_flag("--lockstep", s->lockstep, "run as many steps as each line of standard input says")->group("");
}

int Main(int argc, char** argv) {
  CLI::App app("Trains a ResNet on Fashion-MNIST under an allocator, and says what each step cost.", "thermocline_demo");
  Settings settings;
  AddFlags(&app, &settings);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    Row row(settings);
    settings.lockstep ? RunLockstep(&row, settings.steps) : RunAll(&row, settings.steps);
    if (!settings.json.empty()) {
      const absl::Status written = WriteFileAtomically(settings.json, row.Summary().dump(1) + "\n");
      if (!written.ok()) throw std::runtime_error(std::string(written.message()));
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "thermocline_demo: %s\n", e.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace thermocline::demo

int main(int argc, char** argv) { return thermocline::demo::Main(argc, argv); }

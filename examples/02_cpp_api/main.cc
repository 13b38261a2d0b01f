// The C++ API around work that is no neural network: plates of metal in a row, through which heat spreads. Each step
// visits every plate in turn, so each plate is a layer. What Thermocline adds is marked (1) to (7).
//
//   build/bin/02_cpp_api --save-plan plan.json     learns in its second step, plans, and saves the plan
//   build/bin/02_cpp_api --plan plan.json          a later run: no step is spent on learning
//   THERMOCLINE=off build/bin/02_cpp_api           the same figures, all in ordinary memory
#include <getopt.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <stdexcept>
#include <string>
#include <vector>

#include "thermocline/runtime.h"

namespace {

constexpr int kPlates = 24;
constexpr int kSide = 1024;
constexpr int kSweeps = 8;  // even, so that the result ends up where it began

using Plate = std::pmr::vector<float>;  // kSide rows of kSide

struct Flags {
  thermocline::Options runtime;
  std::string save_plan, profile, run_log;
  int steps = 8;
};

void Check(const thermocline::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}

// ---- The arithmetic. Nothing here knows of Thermocline.

void Sweep(const Plate& from, Plate& to) {
  for (int row = 1; row + 1 < kSide; ++row) {
    const float* at = from.data() + row * kSide;
    float* out = to.data() + row * kSide;
    for (int i = 1; i + 1 < kSide; ++i) out[i] = 0.25f * (at[i - 1] + at[i + 1] + at[i - kSide] + at[i + kSide]);
  }
}

// The first row of a plate touches the last but one of the plate before it, and the other way round.
void Join(Plate& before, Plate& after) {
  std::memcpy(after.data(), before.data() + (kSide - 2) * kSide, kSide * sizeof(float));
  std::memcpy(before.data() + (kSide - 1) * kSide, after.data() + kSide, kSide * sizeof(float));
}

double Heat(const Plate& plate) {
  double sum = 0;
  for (float value : plate) sum += value;
  return sum / static_cast<double>(plate.size());
}

// ---- What the API is for.

class Simulation {
 public:
  explicit Simulation(thermocline::Runtime& runtime) : runtime_(runtime), memory_(&runtime) {
    // (1) Containers in tiered memory, by a std::pmr::memory_resource.
    for (int i = 0; i < kPlates; ++i) plates_.emplace_back(kSide * kSide, 0.0f, &memory_);
    for (int i = 0; i < kSide; ++i) plates_[0][i] = 100;  // one edge is hot and stays so
  }

  double Step() {
    // (2) Where a step begins and ends. Profiling and planning then happen by themselves.
    Check(runtime_.BeginStep());
    double heat = 0;
    for (int i = 0; i < kPlates; ++i) {
      // (3) A layer begins: from here on plate i is needed. This waits until it is in fast memory.
      Check(runtime_.AddLayer("plate " + std::to_string(i)));
      if (i > 0) Join(plates_[i - 1], plates_[i]);
      Plate other(plates_[i], &memory_);  // lives for one layer
      for (int sweep = 0; sweep < kSweeps; sweep += 2) {
        Sweep(plates_[i], other);
        Sweep(other, plates_[i]);
      }
      heat += Heat(plates_[i]);
    }
    Check(runtime_.EndStep());
    return heat / kPlates;
  }

  // (4) Reads that no plan knows of are right without a hint; with one, the next plate comes while this one is read.
  int Hottest() {
    int hottest = 0;
    double most = -1;
    for (int i = 0; i < kPlates; ++i) {
      if (i + 1 < kPlates) Check(runtime_.Prefetch(plates_[i + 1].data(), kSide * kSide * sizeof(float)));
      const double heat = Heat(plates_[i]);
      if (heat > most) hottest = i;
      most = std::max(most, heat);
    }
    return hottest;
  }

  // (5) The kernel can't wait for bytes that are away. write() is taken care of; a system call past the C library, as
  // here, or io_uring, would fail with EFAULT. So pin them for it.
  void Write(int plate, std::FILE* file) {
    const std::size_t bytes = kSide * kSide * sizeof(float);
    Check(runtime_.Pin(plates_[plate].data(), bytes));
    const ssize_t written = syscall(SYS_write, fileno(file), plates_[plate].data(), bytes);
    const int error = errno;
    Check(runtime_.Unpin(plates_[plate].data(), bytes));
    if (written != static_cast<ssize_t>(bytes)) throw std::runtime_error(std::string("write: ") + std::strerror(error));
    std::printf("plate %d is the hottest; %zd bytes of it written\n", plate, written);
  }

 private:
  thermocline::Runtime& runtime_;
  thermocline::MemoryResource memory_;
  std::vector<Plate> plates_;
};

void PrintStats(const thermocline::Runtime& runtime) {
  const tc_stats stats = runtime.Stats();
  if (stats.fast_budget_bytes == 0) {
    std::printf("placement is off\n");
    return;
  }
  constexpr double kMiB = 1 << 20;
  std::printf("containers %.0f MiB at most, fast memory %.0f MiB at most of %.0f MiB\n", stats.peak_live_bytes / kMiB,
              stats.peak_fast_bytes / kMiB, stats.fast_budget_bytes / kMiB);
  std::printf("moved %.0f MiB in, %.0f MiB out; waited %.2f s; %llu allocations placed by plan\n",
              stats.bytes_in / kMiB, stats.bytes_out / kMiB, stats.exposed_nanos * 1e-9,
              static_cast<unsigned long long>(stats.matched_allocations));
}

void Run(const Flags& flags) {
  // (6) A runtime of one's own: a budget, a slow tier, and perhaps a plan from an earlier run.
  thermocline::Status status;
  const auto runtime = thermocline::Runtime::Create(flags.runtime, &status);
  Check(status);
  Simulation simulation(*runtime);
  for (int step = 0; step < flags.steps; ++step) {
    const double heat = simulation.Step();
    std::printf("step %d: heat %.17g\n", step, heat);  // all its digits: equal text means equal bits
    std::fflush(stdout);
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  if (file == nullptr) throw std::runtime_error("no temporary file can be made");
  simulation.Write(simulation.Hottest(), file.get());
  // (7) The plan is data: a second run of the same program with the same budget starts with it. So are what it was made
  // of, for `thermocline simulate`, and what came of it, for `thermocline report`.
  if (!flags.save_plan.empty()) Check(runtime->SavePlan(flags.save_plan));
  if (!flags.profile.empty()) Check(runtime->SaveProfile(flags.profile));
  if (!flags.run_log.empty()) Check(runtime->SaveRunLog(flags.run_log));
  PrintStats(*runtime);
}

// False when the flags make no sense, or were only asked for.
bool ReadFlags(int argc, char** argv, Flags* flags, int* exit_code) {
  static const option kOptions[] = {
      {"fast", required_argument, nullptr, 'f'},
      {"slow", required_argument, nullptr, 's'},
      {"plan", required_argument, nullptr, 'p'},
      {"save-plan", required_argument, nullptr, 'o'},
      {"profile", required_argument, nullptr, 'q'},
      {"run-log", required_argument, nullptr, 'l'},
      {"steps", required_argument, nullptr, 'n'},
      {"help", no_argument, nullptr, 'h'},
      {nullptr, 0, nullptr, 0},
  };
  for (int flag; (flag = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    if (flag == 'f') flags->runtime.fast = optarg;
    if (flag == 's') flags->runtime.slow = optarg;
    if (flag == 'p') flags->runtime.plan_in = optarg;
    if (flag == 'o') flags->save_plan = optarg;
    if (flag == 'q') flags->profile = optarg;
    if (flag == 'l') flags->run_log = optarg;
    if (flag == 'n') flags->steps = std::atoi(optarg);
    if (flag != 'h' && flag != '?' && flags->steps > 0) continue;
    std::fprintf(
        flag == 'h' ? stdout : stderr,
        "usage: 02_cpp_api [--fast 36MiB] [--slow file:/var/tmp] [--steps 8] [--save-plan FILE] [--plan FILE]\n"
        "                  [--profile FILE] [--run-log FILE]\n");
    *exit_code = flag == 'h' ? 0 : 2;
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  flags.runtime.fast = "36MiB";  // the plates come to 100 MiB
  int exit_code = 0;
  if (!ReadFlags(argc, argv, &flags, &exit_code)) return exit_code;
  try {
    Run(flags);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "02_cpp_api: %s\n", e.what());
    return 1;
  }
  return 0;
}

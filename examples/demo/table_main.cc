// demo_table: trains the demo's network under every allocator and budget, prints the table, writes result.json.
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "examples/demo/interrupt.h"
#include "examples/demo/slow_tier.h"
#include "examples/demo/table_report.h"
#include "examples/demo/table_run.h"
#include "src/base/atomic_file.h"

namespace thermocline::demo {
namespace {

void AddFlags(CLI::App* app, TableOptions* o, bool* quick, bool* restore) {
  app->option_defaults()->always_capture_default();
  app->add_option("--out", o->out, "folder for result.json, logs and run logs");
  app->add_option("--slow", o->slow,
                  "slow tier: file:DIR or numa:NODE (a second memory node where there is one, else file:/var/tmp)");
  app->add_option("--only", o->only, "rows to run besides glibc and tcmalloc, separated by commas");
  app->add_option("--rows", o->rows,
                  "instead: these rows, such as mimalloc,thermocline-35,lru-50,limited-20,unmarked-20,swap-20");
  app->add_option("--program", o->program_name,
                  "a program to run instead of the demo's: its path, or its name beside this one");
  app->add_option("--program-argument", o->program_arguments, "one more argument of it; can be given several times");
  app->add_option("--steps", o->counted, "counted steps a turn")->check(CLI::PositiveNumber);
  app->add_option("--turns", o->turns, "turns of each row")->check(CLI::PositiveNumber);
  app->add_option("--warmup", o->warmup, "steps of each row before its first turn")->check(CLI::PositiveNumber);
  app->add_option("--time-limit", o->time_limit_seconds, "leave out turns that would end later, in seconds");
  app->add_option("--width", o->width, "channels of the first stage")->check(CLI::PositiveNumber);
  app->add_option("--blocks", o->blocks, "residual blocks a stage")->check(CLI::PositiveNumber);
  app->add_option("--batch", o->batch, "images a step")->check(CLI::PositiveNumber);
  app->add_option("--threads", o->threads, "threads of libtorch")->check(CLI::PositiveNumber);
  app->add_flag("--quick", *quick, "a small net and two counted steps, to see that everything works");
  app->add_flag("--restore", *restore, "only undo what a killed run left: its swap file and cgroups");
}

// What --quick stands for, where the flags say nothing else.
void MakeSmall(const CLI::App& app, TableOptions* options) {
  if (app.count("--width") == 0) options->width = 32;
  if (app.count("--steps") == 0) options->counted = 2;
  if (app.count("--turns") == 0) options->turns = 1;
}

// Says which slow tier the rows get, and why; and when it may be too small.
void ChooseSlowTier(TableOptions* options) {
  const int64_t wanted = SlowBytesWanted(*options);
  if (options->slow.empty()) {
    std::string why;
    options->slow = ChooseSlow(wanted, &why);
    std::fprintf(stderr, "Slow tier: %s (%s); --slow takes another\n", options->slow.c_str(), why.c_str());
  }
  const int64_t room = SlowRoom(options->slow);
  if (room < 0 || room >= wanted || !options->program_name.empty()) return;
  std::fprintf(stderr,
               "Slow tier: %s has %.1f GB free, and the rows together may need up to %.1f GB. A row that finds it "
               "full fails\n",
               options->slow.c_str(), static_cast<double>(room) / 1e9, static_cast<double>(wanted) / 1e9);
}

int RunTable(const TableOptions& options) {
  UndoJournal journal(options.out + "/undo");
  TableRun run(options, &journal);
  const TableResult result = run.Run();
  const std::string path = options.out + "/result.json";
  const absl::Status written = WriteFileAtomically(path, ToJson(result).dump(1) + "\n");
  std::fputs(FormatTable(result).c_str(), stdout);
  if (!written.ok()) throw std::runtime_error(std::string(written.message()));
  std::printf("\nWritten to %s\n", path.c_str());
  return AllWell(result) ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app("Trains the demo's network under every allocator and budget, one process each.", "demo_table");
  TableOptions options;
  bool quick = false, restore = false;
  AddFlags(&app, &options, &quick, &restore);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (quick) MakeSmall(app, &options);
  CatchSignals();
  try {
    std::filesystem::create_directories(options.out);
    if (restore) {
      UndoJournal journal(options.out + "/undo");
      return 0;
    }
    const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    options.program = here / (options.program_name.empty() ? "thermocline_demo" : options.program_name);
    options.thermocline = here / "thermocline";
    ChooseSlowTier(&options);
    return RunTable(options);
  } catch (const Interrupted& e) {
    const bool restored = !std::filesystem::exists(options.out + "/undo");
    std::fprintf(stderr, "demo_table: interrupted; %s\n", restored ? "the machine is as it was before" : "see above");
    return 128 + e.signal;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "demo_table: %s\n", e.what());
    return 1;
  }
}

}  // namespace
}  // namespace thermocline::demo

int main(int argc, char** argv) { return thermocline::demo::Main(argc, argv); }

// TableRun: runs every row of the table, each a process of its own, in interleaved turns of a few steps, so that a slow
// phase of the machine falls on all of them alike.
//
// Thread safety: one thread. Errors: a row that can't run or fails is a result that says so; Interrupted after a
// signal.
#ifndef THERMOCLINE_EXAMPLES_DEMO_TABLE_RUN_H_
#define THERMOCLINE_EXAMPLES_DEMO_TABLE_RUN_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "examples/demo/disk_speed.h"
#include "examples/demo/memory_cgroup.h"
#include "examples/demo/row.h"
#include "examples/demo/row_process.h"
#include "examples/demo/undo_journal.h"

namespace thermocline::demo {

struct TableOptions {
  std::string program;             // thermocline_demo
  std::string thermocline;         // the command, for unmarked rows
  std::string out = "build/demo";  // folder for results, logs and the journal
  std::string slow;                // as tc_options takes it; main chooses one where none is given
  std::string only;                // names of rows, separated by commas; empty: all (glibc and tcmalloc always run)
  std::string rows;                // these and no others instead, as ParseRow takes them; glibc is run in any case
  std::string program_name;        // as the messages and the result name it; empty: the demo's own network
  std::vector<std::string> program_arguments;  // instead of the network's
  int64_t width = 64, blocks = 5, batch = 128, threads = 2;
  int warmup = 3;                             // steps of a row before its first turn: its profiled step is one of them
  int turns = 2, uncounted = 1, counted = 3;  // each turn: steps after a pause, not counted; then steps that are
  double time_limit_seconds = 330;            // turns are left out when this would be passed; the result says so
};

struct TableResult {
  TableOptions options;
  int64_t peak_bytes = 0;  // of the first row
  int64_t base_bytes = 0;  // what a process needs besides its tensors
  std::string memory_seen_by;
  bool interleaved = true;
  int turns_taken = 0;  // by the row that took the fewest, of those that take turns
  DiskSpeed disk;
  std::vector<RowResult> rows;
};

// Roughly what the network's tensors need at once.
int64_t GuessPeakBytes(const TableOptions& options);
// Roughly what all rows together may keep in the slow tier.
int64_t SlowBytesWanted(const TableOptions& options);

class TableRun {
 public:
  // REQUIRES: `journal` outlives it.
  TableRun(const TableOptions& options, UndoJournal* journal) : options_(options), journal_(journal) {}
  TableResult Run();

 private:
  struct Running;
  enum class Counts { kNo, kYes };

  void RunInterleaved(const std::vector<RowSpec>& specs);
  void RunOneByOne(const std::vector<RowSpec>& specs);
  std::vector<RowSpec> WantedRows() const;
  RowResult RunSwap(const RowSpec& spec);
  RowResult RunLimited(const RowSpec& spec);
  std::unique_ptr<Running> Start(const RowSpec& spec);
  bool Launch(Running* row, const std::string& preload);
  void Steps(Running* row, int count, Counts counts);
  void Turn(Running* row);
  void Round(std::vector<std::unique_ptr<Running>>* rows, int turn);
  void Finish(Running* row);
  void Skip(Running* row, const std::string& reason, bool failed);
  bool MemoryForAll(const std::vector<RowSpec>& specs) const;
  bool TimeFor(double seconds) const;
  int64_t BaseBytes() const;
  std::string FastestPreload() const;
  void Say(const std::string& name, const std::string& what);
  double Elapsed() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  const TableOptions options_;
  UndoJournal* const journal_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  TableResult result_;
  int steps_done_ = 0;
  int steps_planned_ = 0;
  int steps_alone_ = 0;  // of the rows that come after the turns, in steps of the fastest row
  double least_step_seconds_ = 0;
};

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_TABLE_RUN_H_

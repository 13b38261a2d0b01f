// RowProcess: one run of thermocline_demo, stepped from here in lockstep with others, and watched from outside.
//
// Thread safety: one thread. Ownership: the destructor kills the process if it still runs, and waits for it.
// Errors: std::runtime_error with the end of what the process said on stderr; Interrupted after a signal.
#ifndef THERMOCLINE_EXAMPLES_DEMO_ROW_PROCESS_H_
#define THERMOCLINE_EXAMPLES_DEMO_ROW_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace thermocline::demo {

struct RowCommand {
  std::vector<std::string> arguments;   // the program first
  std::string preload;                  // a library for LD_PRELOAD; empty: none
  std::string cgroup_members_file;      // joined before the program starts; empty: none
  std::string log_path;                 // takes what the program says on stderr
  int slow_node = -1;                   // what is bound to this memory node is slow memory, and not counted
  std::function<void()> while_waiting;  // called about twenty times a second while a step runs; empty: nothing
};

class RowProcess {
 public:
  // Starts the program and waits until it is ready to step.
  explicit RowProcess(const RowCommand& command);
  ~RowProcess();
  RowProcess(const RowProcess&) = delete;
  RowProcess& operator=(const RowProcess&) = delete;

  // Runs one step; what the program said of it.
  nlohmann::json Step();
  // Ends the program; its summary.
  nlohmann::json Finish();

  // The most memory that it was seen to hold: anonymous and shared pages, memory files that it has open, mapped or not,
  // and what the page cache holds of files without a name; less what is bound to the slow node. Sampled about twenty
  // times a second; with a slow node once a second, since the kernel looks at every page for it.
  int64_t sampled_peak_bytes() const { return sampled_peak_bytes_; }
  // Of that, the page cache's part, at its own peak.
  int64_t slow_cache_peak_bytes() const { return slow_cache_peak_bytes_; }

 private:
  void Start(const RowCommand& command);
  nlohmann::json ReadLine();
  void Sample();
  [[noreturn]] void FailEarly();
  [[noreturn]] void Fail(const std::string& what);

  const std::string log_path_;
  const std::function<void()> while_waiting_;
  const int slow_node_;
  std::chrono::steady_clock::time_point next_sample_{};
  pid_t pid_ = -1;
  int to_child_ = -1;
  int from_child_ = -1;
  std::string buffered_;
  int64_t sampled_peak_bytes_ = 0;
  int64_t slow_cache_peak_bytes_ = 0;
};

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_ROW_PROCESS_H_

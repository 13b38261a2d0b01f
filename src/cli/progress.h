// Progress: a line on a terminal for what takes over two seconds: for how long already, how far it is where that is
// known, and what is done. It is wiped when the work is over. Where stderr is no terminal, nothing is written.
//
// Thread safety: one thread uses it; a thread of its own draws. Nothing else may write to stderr while it lives.
#ifndef THERMOCLINE_CLI_PROGRESS_H_
#define THERMOCLINE_CLI_PROGRESS_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/strings/string_view.h"

namespace thermocline::cli {

class Progress {
 public:
  // Where the line goes, and after how long; none: nowhere.
  struct Screen {
    std::function<void(absl::string_view)> write;
    std::chrono::milliseconds patience{2000};
  };
  static Screen Terminal();

  // `total`: how often Next will be called; 0: how far it is isn't known, and `what` is all there is to say.
  explicit Progress(std::string what, size_t total = 0, Screen screen = Terminal());
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // The next of `total` begins.
  void Next(std::string what);

 private:
  void DrawUntilOver();
  std::string Line() const;

  const Screen screen_;
  const size_t total_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::condition_variable over_changed_;
  bool over_ = false;  // under mutex_, as the next two
  std::string what_;
  size_t begun_ = 0;
  std::thread drawer_;  // last: it uses the others
};

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_PROGRESS_H_

#include "src/cli/progress.h"

#include <unistd.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/cli/text_table.h"

namespace thermocline::cli {
namespace {

constexpr size_t kBarWidth = 20;
constexpr size_t kMostColumns = 79;
constexpr std::chrono::milliseconds kRedraw(500);
constexpr char kWipe[] = "\r\033[K";

}  // namespace

Progress::Screen Progress::Terminal() {
  if (isatty(STDERR_FILENO) != 1) return {};
  return {[](absl::string_view text) { std::cerr << text << std::flush; }};
}

Progress::Progress(std::string what, size_t total, Screen screen)
    : screen_(std::move(screen)), total_(total), what_(std::move(what)) {
  if (screen_.write) drawer_ = std::thread([this] { DrawUntilOver(); });
}

Progress::~Progress() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
  }
  over_changed_.notify_one();
  if (drawer_.joinable()) drawer_.join();
}

void Progress::Next(std::string what) {
  const std::lock_guard<std::mutex> lock(mutex_);
  what_ = std::move(what);
  ++begun_;
}

void Progress::DrawUntilOver() {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto is_over = [this] { return over_; };
  if (over_changed_.wait_for(lock, screen_.patience, is_over)) return;
  do {
    screen_.write(Line());
  } while (!over_changed_.wait_for(lock, kRedraw, is_over));
  screen_.write(kWipe);
}

std::string Progress::Line() const {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - began_).count();
  std::string bar;
  if (total_ > 0) {
    const size_t done = begun_ == 0 ? 0 : begun_ - 1;
    const size_t full = kBarWidth * done / total_;
    bar = absl::StrCat("[", std::string(full, '#'), std::string(kBarWidth - full, '-'), "] ", begun_, " of ", total_,
                       ": ");
  }
  // A line that wraps could not be wiped.
  return absl::StrCat(kWipe, absl::StrCat(seconds, " s  ", bar, Printable(what_)).substr(0, kMostColumns));
}

}  // namespace thermocline::cli

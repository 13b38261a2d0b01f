#include "src/cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermocline::cli {
namespace {

using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr milliseconds kAtOnce(0);
constexpr milliseconds kNever(3'600'000);

// A terminal that remembers what was written, and that a test can wait on.
class PlayedTerminal {
 public:
  Progress::Screen After(milliseconds patience) {
    return {[this](absl::string_view text) {
              const std::lock_guard<std::mutex> lock(mutex_);
              text_ += std::string(text);
              written_.notify_all();
            },
            patience};
  }
  // What was written, once `part` is in it; all there is after ten seconds.
  std::string WaitFor(const std::string& part) {
    std::unique_lock<std::mutex> lock(mutex_);
    written_.wait_for(lock, std::chrono::seconds(10), [&] { return text_.find(part) != std::string::npos; });
    return text_;
  }
  std::string text() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable written_;
  std::string text_;
};

TEST(ProgressTest, SaysWhatIsDoneAndWipesIt) {
  PlayedTerminal terminal;
  {
    const Progress progress("reading big.json", 0, terminal.After(kAtOnce));
    EXPECT_THAT(terminal.WaitFor("big.json"), HasSubstr("0 s  reading big.json"));
  }
  EXPECT_THAT(terminal.text(), EndsWith("\r\033[K"));
}

TEST(ProgressTest, SaysHowFarItIs) {
  PlayedTerminal terminal;
  Progress progress("", 4, terminal.After(kAtOnce));
  for (const char* what : {"lru", "interval", "lookahead"}) progress.Next(what);
  EXPECT_THAT(terminal.WaitFor("lookahead"), HasSubstr("[##########----------] 3 of 4: lookahead"));
}

TEST(ProgressTest, SaysNothingOfWhatIsSoonDone) {
  PlayedTerminal terminal;
  { const Progress progress("reading small.json", 0, terminal.After(kNever)); }
  EXPECT_THAT(terminal.text(), IsEmpty());
}

TEST(ProgressTest, ALongNameStaysOnOneLine) {
  PlayedTerminal terminal;
  {
    const Progress progress(std::string(500, 'x'), 0, terminal.After(kAtOnce));
    terminal.WaitFor("x");
  }
  const std::string line = terminal.text().substr(0, terminal.text().rfind('\r'));
  EXPECT_THAT(line, StartsWith("\r\033[K0 s  xxx"));
  EXPECT_LE(line.size(), 79 + 4);
}

}  // namespace
}  // namespace thermocline::cli

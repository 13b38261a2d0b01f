// The process of a row of the demo's table: it is told its budget by its command line, and of no other by anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "examples/demo/row_process.h"

namespace thermocline::demo {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class RowsProcess : public ::testing::Test {
 protected:
  void SetUp() override {
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    setenv("LD_LIBRARY_PATH", "/opt/lib", 1);
    setenv("MALLOCATED", "no allocator's", 1);
    for (const char* name :
         {"LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_CONF", "GLIBC_TUNABLES", "THERMOCLINE", "THERMOCLINE_FAST",
          "THERMOCLINE_SLOW", "THERMOCLINE_PLAN", "THERMOCLINE_VERIFY", "THERMOCLINE_THRESHOLD", "MIMALLOC_VERBOSE",
          "TCMALLOC_SAMPLE_PARAMETER", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}) {
      setenv(name, "", 1);  // the table's own process starts nothing by it
    }
  }
  ~RowsProcess() override { std::filesystem::remove_all(folder_); }

  // Starts a row that is a shell, and has it write down what it was started with.
  void Start(const std::string& preload) {
    std::filesystem::create_directories(folder_);
    RowCommand command;
    command.arguments = {
        "/bin/sh",        "-c",     "cat /proc/$$/environ >$0.env; cat /proc/$$/cmdline >$0.args; echo {}; read go",
        folder_ + "/row", "--fast", "104857600"};
    command.preload = preload;
    command.log_path = folder_ + "/row.log";
    const RowProcess process(command);  // which waits for the first line
  }
  std::vector<std::string> Words(const std::string& file) const {
    std::ifstream in(folder_ + "/row." + file);
    std::vector<std::string> words;
    for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
    return words;
  }

  const std::string folder_ = ::testing::TempDir() + "demo_row_test";
};

TEST_F(RowsProcess, IsToldOfNoOtherAllocatorOrBudgetByItsEnvironment) {
  Start("");
  EXPECT_THAT(Words("env"),
              UnorderedElementsAre("PATH=/usr/bin:/bin", "LD_LIBRARY_PATH=/opt/lib", "MALLOCATED=no allocator's"));
}

TEST_F(RowsProcess, HasItsOwnAllocatorAlone) {
  Start("libc.so.6");
  EXPECT_THAT(Words("env"), UnorderedElementsAre("PATH=/usr/bin:/bin", "LD_LIBRARY_PATH=/opt/lib",
                                                 "MALLOCATED=no allocator's", "LD_PRELOAD=libc.so.6"));
}

TEST_F(RowsProcess, IsToldItsBudgetAndWhatElseItsRowSays) {
  Start("");
  const std::vector<std::string> words = Words("args");
  ASSERT_EQ(words.size(), 6);
  EXPECT_EQ(words[0], "/bin/sh");
  EXPECT_THAT(std::vector(words.begin() + 4, words.end()), ElementsAre("--fast", "104857600"));
}

}  // namespace
}  // namespace thermocline::demo

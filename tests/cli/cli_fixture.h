// Runs build/bin/thermocline on files of a folder of the test's own.
#ifndef THERMOCLINE_TESTS_CLI_CLI_FIXTURE_H_
#define THERMOCLINE_TESTS_CLI_CLI_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/subprocess.h"

namespace thermocline::testing {

class Cli : public ::testing::Test {
 protected:
  Cli() : folder_(std::filesystem::path(::testing::TempDir()) / ("thermocline_cli_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Cli() override { std::filesystem::remove_all(folder_); }

  static SubprocessResult Thermocline(std::vector<std::string> words) {
    words.insert(words.begin(), THERMOCLINE_BINARY);
    return RunProgram(words);
  }
  static std::string Fixture(const std::string& name) { return std::string(THERMOCLINE_FIXTURES "/") + name; }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
    return Path(name);
  }
  static std::string Read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
};

}  // namespace thermocline::testing

#endif  // THERMOCLINE_TESTS_CLI_CLI_FIXTURE_H_

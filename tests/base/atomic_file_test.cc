#include "src/base/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace thermocline {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class AtomicFile : public ::testing::Test {
 protected:
  AtomicFile() : folder_(fs::path(::testing::TempDir()) / ("atomic_file_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~AtomicFile() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  static std::string Contents(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  int Entries() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }

  fs::path folder_;
};

TEST_F(AtomicFile, IsWrittenWholeAndLeavesNothingBesideIt) {
  const std::string text = std::string("a\0b", 3) + std::string(1 << 20, 'x');
  ASSERT_TRUE(WriteFileAtomically(Path("f"), text).ok());
  EXPECT_EQ(Contents(Path("f")), text);
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "").ok());
  EXPECT_EQ(Contents(Path("f")), "");
  EXPECT_EQ(Entries(), 1);
}

TEST_F(AtomicFile, AKilledWriterLeavesNoHalfOfAFile) {
  constexpr int kBytes = 16 << 20;
  for (int round = 0; round < 5; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      const std::string text(kBytes, 'x');
      for (int i = 0;; ++i) static_cast<void>(WriteFileAtomically(Path("f" + std::to_string(i)), text));
    }
    usleep(20'000 + round * 7'000);
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    for (const auto& entry : fs::directory_iterator(folder_)) {
      EXPECT_EQ(entry.path().filename().string().find("tmp"), std::string::npos) << entry.path();
      EXPECT_EQ(fs::file_size(entry.path()), kBytes) << entry.path();
    }
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
}

TEST_F(AtomicFile, KeepsItsModeAndFollowsALink) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "old").ok());
  ASSERT_EQ(chmod(Path("f").c_str(), 0600), 0);
  fs::create_symlink("f", Path("link"));
  ASSERT_TRUE(WriteFileAtomically(Path("link"), "new").ok());
  EXPECT_TRUE(fs::is_symlink(Path("link")));
  EXPECT_EQ(Contents(Path("f")), "new");
  EXPECT_EQ(fs::status(Path("f")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(AtomicFile, StaysAsItWasWhenTheDiskRefuses) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "old").ok());
  struct rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 4096;
  auto* const handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFileAtomically(Path("f"), std::string(8192, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(Path("f")));
  EXPECT_EQ(Contents(Path("f")), "old");
  EXPECT_EQ(Entries(), 1);
}

TEST_F(AtomicFile, SaysWhatToDoAboutAMissingDirectory) {
  const absl::Status status = WriteFileAtomically(Path("no/f"), "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("check that its directory exists"));
  EXPECT_FALSE(WriteFileAtomically(folder_.string(), "x").ok()) << "a directory is no file";
}

TEST_F(AtomicFile, WritesToADeviceAsItIs) { EXPECT_TRUE(WriteFileAtomically("/dev/null", "x").ok()); }

}  // namespace
}  // namespace thermocline

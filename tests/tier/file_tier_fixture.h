// What the tests of the file tier share: a small tier, a directory whose files can be counted, a transfer.
#ifndef THERMOCLINE_TESTS_TIER_FILE_TIER_FIXTURE_H_
#define THERMOCLINE_TESTS_TIER_FILE_TIER_FIXTURE_H_

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "src/tier/file_tier.h"
#include "tests/tier/faulty_file_system.h"
#include "tests/tier/frames.h"

namespace thermocline::tier {

inline FileTierOptions Options(FileBackend backend = FileBackend::kAuto) {
  FileTierOptions options;
  options.directory = SlowTestDirectory();
  options.granule_bytes = KiB(64);
  options.capacity = KiB(64) * 8;
  options.backend = backend;
  return options;
}

inline int CountEntries(const char* directory) {
  int count = 0;
  DIR* dir = opendir(directory);
  while (dir != nullptr && readdir(dir) != nullptr) ++count;
  if (dir != nullptr) closedir(dir);
  return count;
}
inline int OpenDescriptors() { return CountEntries("/proc/self/fd"); }

// A directory of one's own, so that what is left in it can be counted.
class OwnDirectory {
 public:
  OwnDirectory() : path_(SlowTestDirectory() + "/thermocline-test-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~OwnDirectory() { rmdir(path_.c_str()); }
  const std::string& path() const { return path_; }
  int Files() const { return CountEntries(path_.c_str()) - 2; }  // less . and ..
  // How many there were.
  int RemoveFiles() const {
    int removed = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) removed += unlink(entry.path().c_str()) == 0;
    return removed;
  }

 private:
  std::string path_;
};

inline int MoveOne(BlockTier& tier, Direction direction, SlotId slot, void* memory) {
  std::vector<Completion> completions;
  if (tier.Submit({{1, direction, slot, memory}}) != 1) return -1;
  for (int i = 0; i < 10 && completions.empty(); ++i) tier.Reap(&completions, 1'000'000'000);
  return completions.empty() ? -1 : completions[0].error;
}

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TESTS_TIER_FILE_TIER_FIXTURE_H_

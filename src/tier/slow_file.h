// SlowFile: an unnamed file on a real disk that holds a tier's slots, grown as they are wanted.
//
// It is created 0600 and has no name by the time Create returns, so that nothing is left behind however the process
// ends. The descriptor is closed on exec and survives a fork, so that a child can read what it finds evicted.
// Thread safety: Grow is for one thread at a time; the rest is for any thread. Errors: Create names the directory, the
// call, the errno, and what to do. Ownership: closes the file; the FileSystem must outlive it.
#ifndef THERMOCLINE_TIER_SLOW_FILE_H_
#define THERMOCLINE_TIER_SLOW_FILE_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/probe_record.h"
#include "src/base/units.h"
#include "src/tier/file_system.h"

namespace thermocline::tier {

class SlowFile {
 public:
  // Refuses directories in memory: what is written there is still in fast memory.
  static absl::StatusOr<std::unique_ptr<SlowFile>> Create(const std::string& directory, FileSystem& files);
  ~SlowFile();
  SlowFile(const SlowFile&) = delete;
  SlowFile& operator=(const SlowFile&) = delete;

  int fd() const { return fd_; }
  // False: the file goes through the page cache, and each transfer must be written back and dropped.
  bool direct() const { return direct_; }
  Bytes size() const { return Bytes(size_.load(std::memory_order_relaxed)); }
  // Reserves disk space for another `more` bytes. Returns 0 or the errno (ENOSPC: the disk is full).
  int Grow(Bytes more);
  // Free space that this user may take, by statfs; 0 when it can't be asked.
  Bytes FreeOnDisk() const;
  // What the page cache holds of the file. Counted anew when the last count has cost less than a twentieth of the time
  // since: before Linux 6.5 a count of a large file takes long. It then is a thousandth where transfers go past the
  // cache, as little can be found.
  Bytes Cached() const;

  const std::vector<ProbeRecord>& probes() const { return probes_; }

 private:
  SlowFile(FileSystem& files, int fd) : files_(files), fd_(fd) {}
  absl::Status CheckBacking(const std::string& directory);
  absl::Status ProbeDirect(const std::string& directory);

  FileSystem& files_;
  const int fd_;
  bool direct_ = true;
  bool sparse_ = false;  // fallocate is not supported: space is taken as it is written
  std::atomic<int64_t> size_{0};
  bool cachestat_ = true;
  mutable std::mutex cached_mutex_;
  mutable std::atomic<int64_t> cached_{0};
  mutable int64_t count_again_nanos_ = 0;
  std::vector<ProbeRecord> probes_;
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_SLOW_FILE_H_

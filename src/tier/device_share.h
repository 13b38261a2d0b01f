// DeviceShare: how much of a disk's queue this tier may fill, so that processes that use one disk don't starve each
// other.
//
// A disk serves what is queued more or less in turn, so whoever queues more gets more. Each tier therefore says,
// while it moves anything, that it does, and all of them together queue about as much as one would alone. They say
// it by a read lock (an open file description lock) on one byte, chosen at random, of a directory that every process
// on the file system finds: the topmost one that lies on it and may be opened. No lock ever makes anybody wait,
// nothing is written, and the kernel drops it with the process, however that ends. Processes that see the disk
// through different file systems (partitions, overlays) don't see each other. Thread safety: Use and Leave belong to
// the mover; Depth is for any thread. Ownership: closes its descriptor; the FileSystem must outlive it. Errors:
// where the directory can't be opened or locked, everybody has the whole queue, and the probe record says so.
#ifndef THERMOCLINE_TIER_DEVICE_SHARE_H_
#define THERMOCLINE_TIER_DEVICE_SHARE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "src/base/probe_record.h"
#include "src/tier/file_system.h"

namespace thermocline::tier {

class DeviceShare {
 public:
  static constexpr int kSharedDepth = 32;               // of all who share a disk together: it keeps an SSD busy
  static constexpr int kLeastDepth = 4;                 // of each, however many there are
  static constexpr int64_t kCountNanos = 50'000'000;    // others are counted anew so often
  static constexpr int64_t kLingerNanos = 500'000'000;  // after the last transfer it counts as a user for so long

  static std::unique_ptr<DeviceShare> Join(const std::string& directory, FileSystem& files);
  ~DeviceShare();
  DeviceShare(const DeviceShare&) = delete;
  DeviceShare& operator=(const DeviceShare&) = delete;

  // Transfers begin or are under way.
  void Use(int64_t now_nanos);
  // Nothing has been moved for a while.
  void Leave();
  bool in_use() const { return in_use_; }

  int others() const { return others_.load(std::memory_order_relaxed); }
  // The part of a queue of `depth` that may be filled now.
  int Depth(int depth) const;
  const ProbeRecord& probe() const { return probe_; }

 private:
  explicit DeviceShare(FileSystem& files);
  void Open(const std::string& directory);
  void CountOthers(int64_t begin, int64_t end, int* count);

  FileSystem& files_;
  const int64_t byte_;  // the one that it locks
  int fd_ = -1;
  bool in_use_ = false;
  int64_t count_again_nanos_ = 0;
  std::atomic<int> others_{0};
  ProbeRecord probe_;
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_DEVICE_SHARE_H_

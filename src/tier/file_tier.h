// FileTier: slots in a file on an SSD, past the page cache, through io_uring or a few threads.
//
// Thread safety, ownership, errors: as BlockTier. A slow disk that fills up is a full tier, not an error.
#ifndef THERMOCLINE_TIER_FILE_TIER_H_
#define THERMOCLINE_TIER_FILE_TIER_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/base/probe_record.h"
#include "src/base/units.h"
#include "src/tier/block_tier.h"
#include "src/tier/device_share.h"
#include "src/tier/file_system.h"
#include "src/tier/slot_pool.h"
#include "src/tier/slot_transfers.h"
#include "src/tier/slow_file.h"

namespace thermocline::tier {

enum class FileBackend : uint8_t { kAuto, kUring, kThreads };

struct FileTierOptions {
  std::string directory;
  Bytes granule_bytes = MiB(2);  // a multiple of 4 KiB
  Bytes capacity;                // 0: as much as the disk has
  int queue_depth = 32;
  Bytes daily_write_cap;  // an SSD wears; past it transfers out fail with EDQUOT until the day ends. 0: none
  FileBackend backend = FileBackend::kAuto;  // kUring fails where io_uring is refused, kAuto falls back to threads
  // Fills less of the queue while other processes use the disk (device_share.h). False: whatever they do.
  bool share_device = true;
  const Clock* clock = &MonotonicClock();  // for the day's cap alone; days are counted from the tier's creation
};

class FileTier final : public BlockTier {
 public:
  // The FileSystem must outlive the tier.
  static absl::StatusOr<std::unique_ptr<FileTier>> Create(const FileTierOptions& options,
                                                          FileSystem& files = RealFileSystem());
  ~FileTier() override;

  std::string Describe() const override;
  Bytes granule_bytes() const override { return options_.granule_bytes; }
  Bytes capacity() const override;
  SlotId AllocateSlot() override;
  void FreeSlot(SlotId slot) override;
  int Submit(absl::Span<const Transfer> transfers) override;
  int max_in_flight() const override {
    return share_ == nullptr ? options_.queue_depth : share_->Depth(options_.queue_depth);
  }
  void Reap(std::vector<Completion>* completions, int64_t timeout_nanos) override;
  void Wake() override { transfers_.Wake(); }
  int ReadSync(SlotId slot, void* memory) override;
  // Asks the system what the page cache holds: a system call or more, not for a hot path.
  BlockTierStats Stats() const override;

  const std::vector<ProbeRecord>& probes() const { return probes_; }
  bool direct() const { return file_->direct(); }
  int fd() const { return file_->fd(); }

 private:
  FileTier(const FileTierOptions& options, FileSystem& files)
      : options_(options), files_(files), transfers_(options.granule_bytes, options.queue_depth) {}
  absl::Status Open();
  absl::Status OpenEngine();
  int Threads() const;  // of the engine that has threads
  void Grow();
  int Refusal(const Transfer& transfer);  // 0, or the errno with which it is refused
  int64_t Today() const;
  Bytes WrittenToday() const;
  Bytes WrittenPerDay() const;

  const FileTierOptions options_;
  FileSystem& files_;
  int64_t created_nanos_ = 0;
  int64_t limit_ = 0;  // slots at most
  std::unique_ptr<SlowFile> file_;
  std::unique_ptr<DeviceShare> share_;  // the mover's, but for what max_in_flight reads
  SlotTransfers transfers_;
  std::vector<ProbeRecord> probes_;

  std::mutex slots_mutex_;
  SlotPool slots_;
  int64_t full_until_nanos_ = 0;  // the disk was full: not asked again before

  std::atomic<int64_t> slot_count_{0};
  std::atomic<int64_t> day_{0}, started_today_{0};
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_FILE_TIER_H_

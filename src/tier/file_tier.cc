#include "src/tier/file_tier.h"

#include <errno.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"

namespace thermocline::tier {
namespace {

constexpr int64_t kBlock = 4096;
constexpr int64_t kGrowBytes = int64_t{64} << 20;
constexpr int64_t kFullNanos = 100'000'000;  // how long a full disk is not asked again
constexpr int64_t kDayNanos = int64_t{86'400} * 1'000'000'000;
constexpr int kThreads = 8;

absl::Status Check(const FileTierOptions& options) {
  const int64_t granule = options.granule_bytes.count();
  if (granule <= 0 || granule % kBlock != 0 || granule > (int64_t{1} << 30)) {
    return absl::InvalidArgumentError(
        absl::StrCat("file tier: a granule of ", granule, " bytes is not a multiple of 4096 between 4 KiB and 1 GiB"));
  }
  if (options.queue_depth < 1 || options.queue_depth > 1024) {
    return absl::InvalidArgumentError(
        absl::StrCat("file tier: a queue depth of ", options.queue_depth, " is not between 1 and 1024"));
  }
  if (options.capacity.count() < 0 || (options.capacity.count() > 0 && options.capacity < options.granule_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("file tier: a capacity of ", FormatBytes(options.capacity),
                                                   " is less than one granule of ",
                                                   FormatBytes(options.granule_bytes)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileTier>> FileTier::Create(const FileTierOptions& options, FileSystem& files) {
  if (absl::Status status = Check(options); !status.ok()) return status;
  std::unique_ptr<FileTier> tier(new FileTier(options, files));
  if (absl::Status status = tier->Open(); !status.ok()) return status;
  return tier;
}

FileTier::~FileTier() = default;

absl::Status FileTier::Open() {
  created_nanos_ = options_.clock->NowNanos();
  absl::StatusOr<std::unique_ptr<SlowFile>> file = SlowFile::Create(options_.directory, files_);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  probes_ = file_->probes();
  if (options_.share_device) {
    share_ = DeviceShare::Join(options_.directory, files_);
    probes_.push_back(share_->probe());
  }
  // Past RLIMIT_FSIZE the kernel sends SIGXFSZ, which ends the process.
  int64_t limit = files_.FileSizeLimit();
  if (options_.capacity.count() > 0) limit = std::min(limit, options_.capacity.count());
  limit_ = std::min<int64_t>(limit / options_.granule_bytes.count(), kNoSlot.value());
  return OpenEngine();
}

absl::Status FileTier::OpenEngine() {
  // Buffered writes on a ring would be punted to the kernel's workers anyway, and each must be dropped afterwards.
  if (options_.backend != FileBackend::kThreads && file_->direct()) {
    absl::StatusOr<std::unique_ptr<IoEngine>> ring =
        MakeUringEngine(files_, file_->fd(), options_.queue_depth, options_.granule_bytes);
    const bool falls_back = !ring.ok() && options_.backend == FileBackend::kAuto;
    probes_.push_back({"io_uring", ring.ok() ? "ok" : std::string(ring.status().message()),
                       falls_back ? "threads with pread and pwrite" : ""});
    if (ring.ok()) {
      transfers_.SetEngine(*std::move(ring));
      return absl::OkStatus();
    }
    if (!falls_back) {
      return absl::UnavailableError(absl::StrCat("file tier on ", options_.directory, ": ", ring.status().message(),
                                                 "; take engine=threads, or allow io_uring "
                                                 "(/proc/sys/kernel/io_uring_disabled, the seccomp filter)"));
    }
  }
  const std::string where = absl::StrCat("file tier on ", options_.directory, ": ");
  if (options_.backend == FileBackend::kUring && !file_->direct()) {
    std::string why;
    for (const ProbeRecord& probe : probes_) {
      if (probe.answer != "ok" && !probe.fallback.empty()) absl::StrAppend(&why, "; ", probe.what, ": ", probe.answer);
    }
    return absl::UnavailableError(absl::StrCat(
        where, "O_DIRECT is refused there, which engine=io_uring needs; take engine=auto or another directory", why));
  }
  absl::StatusOr<std::unique_ptr<IoEngine>> engine = MakeThreadEngine(files_, file_->fd(), Threads(), !file_->direct());
  if (!engine.ok()) return absl::Status(engine.status().code(), absl::StrCat(where, engine.status().message()));
  transfers_.SetEngine(*std::move(engine));
  return absl::OkStatus();
}

std::string FileTier::Describe() const {
  return absl::StrCat("file:", options_.directory, " (", transfers_.Describe(), ", ",
                      file_->direct() ? "O_DIRECT" : "page cache, dropped after each transfer", ")");
}

int FileTier::Threads() const { return std::min(kThreads, options_.queue_depth); }

Bytes FileTier::capacity() const {
  const int64_t granule = options_.granule_bytes.count();
  const int64_t possible = (file_->size() + file_->FreeOnDisk()).count() / granule;
  return options_.granule_bytes * std::min(limit_, possible);
}

SlotId FileTier::AllocateSlot() {
  std::lock_guard<std::mutex> lock(slots_mutex_);
  SlotId slot = slots_.Take();
  if (slot != kNoSlot) return slot;
  Grow();
  return slots_.Take();
}

void FileTier::Grow() {
  const int64_t granule = options_.granule_bytes.count();
  int64_t more = std::min(limit_ - slots_.size(), std::max<int64_t>(1, kGrowBytes / granule));
  if (more <= 0 || MonotonicClock().NowNanos() < full_until_nanos_) return;
  // Near the disk's end a smaller piece may still fit.
  while (more > 0) {
    const int error = file_->Grow(options_.granule_bytes * more);
    if (error == 0) {
      slots_.Grow(more);
      slot_count_.store(slots_.size(), std::memory_order_release);
      return;
    }
    if (error != ENOSPC && error != EDQUOT && error != EFBIG) {
      transfers_.CountFailure();
      break;
    }
    more /= 2;
  }
  full_until_nanos_ = MonotonicClock().NowNanos() + kFullNanos;
}

void FileTier::FreeSlot(SlotId slot) {
  std::lock_guard<std::mutex> lock(slots_mutex_);
  slots_.Give(slot);
}

int64_t FileTier::Today() const { return (options_.clock->NowNanos() - created_nanos_) / kDayNanos; }

int FileTier::Refusal(const Transfer& transfer) {
  if (transfer.slot.value() >= slot_count_.load(std::memory_order_acquire)) return EINVAL;
  if (transfer.direction == Direction::kIn) return 0;
  const int64_t today = Today();
  if (day_.load(std::memory_order_relaxed) != today) {
    day_.store(today, std::memory_order_relaxed);
    started_today_.store(0, std::memory_order_relaxed);
  }
  const int64_t granule = options_.granule_bytes.count();
  const int64_t cap = options_.daily_write_cap.count();
  if (cap > 0 && started_today_.load(std::memory_order_relaxed) + granule > cap) return EDQUOT;
  started_today_.fetch_add(granule, std::memory_order_relaxed);
  return 0;
}

int FileTier::Submit(absl::Span<const Transfer> transfers) {
  if (share_ != nullptr && !transfers.empty()) share_->Use(MonotonicClock().NowNanos());
  const int room = std::max(0, max_in_flight() - transfers_.in_flight());
  return transfers_.Submit(transfers.first(std::min<size_t>(room, transfers.size())),
                           [this](const Transfer& transfer) { return Refusal(transfer); });
}

void FileTier::Reap(std::vector<Completion>* completions, int64_t timeout_nanos) {
  const int64_t linger = DeviceShare::kLingerNanos;
  const bool idle = share_ != nullptr && share_->in_use() && transfers_.in_flight() == 0;
  if (!idle || (timeout_nanos >= 0 && timeout_nanos < linger)) {
    transfers_.Reap(completions, timeout_nanos);
    return;
  }
  // Whoever has nothing to move for a while takes no part of the disk.
  const size_t before = completions->size();
  // How long it took says nothing: a wake-up that came in time may be learnt of late, and comes once only.
  const bool woken = transfers_.Reap(completions, linger);
  if (woken || completions->size() > before) return;
  share_->Leave();
  transfers_.Reap(completions, timeout_nanos < 0 ? timeout_nanos : timeout_nanos - linger);
}

int FileTier::ReadSync(SlotId slot, void* memory) {
  if (slot.value() >= slot_count_.load(std::memory_order_acquire)) return EINVAL;
  const int64_t granule = options_.granule_bytes.count();
  const IoRequest request{0, Direction::kIn, int64_t{slot.value()} * granule, static_cast<char*>(memory), granule};
  const int error = TransferNow(files_, file_->fd(), request, !file_->direct());
  transfers_.CountRead(error);
  return error;
}

BlockTierStats FileTier::Stats() const {
  BlockTierStats stats = transfers_.Stats();
  stats.cached = file_->Cached();
  if (!file_->direct()) {
    stats.cached_in_flight = Bytes(std::min(kCachedPiece, options_.granule_bytes.count())) * Threads();
  }
  stats.written_today = WrittenToday();
  stats.written_per_day = WrittenPerDay();
  return stats;
}

Bytes FileTier::WrittenToday() const {
  return Bytes(day_.load(std::memory_order_relaxed) == Today() ? started_today_.load(std::memory_order_relaxed) : 0);
}

Bytes FileTier::WrittenPerDay() const {
  const double seconds = static_cast<double>(std::max<int64_t>(1, options_.clock->NowNanos() - created_nanos_)) * 1e-9;
  return Bytes(static_cast<int64_t>(transfers_.bytes_out().count() / seconds * 86'400));
}

}  // namespace thermocline::tier

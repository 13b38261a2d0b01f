#include "src/tier/emulated_tier.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"
#include "src/tier/file_system.h"

namespace thermocline::tier {
namespace {

// How often a clock that isn't the machine's is looked at while waiting.
constexpr int64_t kForeignClockNanos = 200'000;

// The source of a transfer out may move away before its time: a device then says EFAULT, and so does this, where memcpy
// would crash.
int CopyOut(void* from, void* to, size_t bytes) {
  const iovec local{to, bytes};
  const iovec remote{from, bytes};
  const ssize_t copied = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  return copied == static_cast<ssize_t>(bytes) ? 0 : copied < 0 ? errno : EFAULT;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EmulatedTier>> EmulatedTier::Create(const EmulatedTierOptions& given) {
  EmulatedTierOptions options = given;
  const int64_t granule = options.granule_bytes.count();
  if (granule <= 0 || granule % 4096 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("emulated tier: a granule of ", granule, " bytes is not a multiple of 4096"));
  }
  if (!(options.in.rate() > 0) || !(options.out.rate() > 0) || options.latency_seconds < 0 || options.queue_depth < 1) {
    return absl::InvalidArgumentError("emulated tier: in and out must be positive, the latency not negative");
  }
  if (options.capacity.count() == 0) options.capacity = GiB(64);
  options.capacity = std::min(RoundDown(options.capacity, options.granule_bytes),
                              options.granule_bytes * static_cast<int64_t>(kNoSlot.value()));
  if (options.capacity.count() <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("emulated tier: a capacity of ", FormatBytes(given.capacity),
                                                   " is less than one granule of ",
                                                   FormatBytes(options.granule_bytes)));
  }
  void* memory = mmap(nullptr, options.capacity.count(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("emulated tier: mmap of ", FormatBytes(options.capacity),
                                                     " answered ", ErrnoText(errno), "; give a smaller capacity"));
  }
  const int event_fd = eventfd(0, EFD_CLOEXEC);
  if (event_fd < 0) {
    munmap(memory, options.capacity.count());
    return absl::UnavailableError(absl::StrCat("emulated tier: eventfd: ", ErrnoText(errno)));
  }
  return std::unique_ptr<EmulatedTier>(new EmulatedTier(options, static_cast<char*>(memory), event_fd));
}

EmulatedTier::EmulatedTier(const EmulatedTierOptions& options, char* memory, int event_fd)
    : options_(options), in_rate_(options.in.rate()), out_rate_(options.out.rate()), memory_(memory), event_(event_fd) {
  slots_.Grow(options_.capacity / options_.granule_bytes);
  pending_.reserve(options_.queue_depth);
}

EmulatedTier::~EmulatedTier() { munmap(memory_, options_.capacity.count()); }

std::string EmulatedTier::Describe() const {
  return absl::StrCat("emulated:in=", FormatRate(options_.in), ",out=", FormatRate(options_.out),
                      ",latency=", options_.latency_seconds * 1e6, "us,duplex=", options_.full_duplex ? "full" : "half",
                      options_.addressable ? ",addressable=yes" : "", " (in host memory)");
}

SlotId EmulatedTier::AllocateSlot() {
  std::lock_guard<std::mutex> lock(slots_mutex_);
  return slots_.Take();
}

void EmulatedTier::FreeSlot(SlotId slot) {
  std::lock_guard<std::mutex> lock(slots_mutex_);
  slots_.Give(slot);
}

bool EmulatedTier::IsTaken(SlotId slot) {
  std::lock_guard<std::mutex> lock(slots_mutex_);
  return slots_.IsTaken(slot);
}

int64_t EmulatedTier::TransferNanos(Direction direction) const {
  const std::atomic<double>& rate = direction == Direction::kIn ? in_rate_ : out_rate_;
  return static_cast<int64_t>(SecondsFor(options_.granule_bytes, BytesPerSecond(rate.load(std::memory_order_relaxed))) *
                              1e9);
}

int EmulatedTier::Submit(absl::Span<const Transfer> transfers) {
  const int room = options_.queue_depth - in_flight_.load(std::memory_order_relaxed);
  const int taken = std::max(0, std::min<int>(room, static_cast<int>(transfers.size())));
  const int64_t now = options_.clock->NowNanos();
  const int64_t latency = static_cast<int64_t>(options_.latency_seconds * 1e9);
  for (const Transfer& transfer : transfers.first(taken)) {
    if (!IsTaken(transfer.slot)) {
      pending_.push_back({transfer, now, EINVAL});
      continue;
    }
    int64_t& free_at = link_free_nanos_[options_.full_duplex && transfer.direction == Direction::kOut ? 1 : 0];
    free_at = std::max(free_at, now) + TransferNanos(transfer.direction);
    pending_.push_back({transfer, free_at + latency, 0});
  }
  in_flight_.fetch_add(taken, std::memory_order_relaxed);
  return taken;
}

int64_t EmulatedTier::NextCompletionNanos() const {
  int64_t next = -1;
  for (const Pending& pending : pending_) {
    if (next < 0 || pending.done_nanos < next) next = pending.done_nanos;
  }
  return next;
}

// In the order of their times, and in the order of submission where these are equal.
bool EmulatedTier::Collect(std::vector<Completion>* completions) {
  const int64_t now = options_.clock->NowNanos();
  std::stable_sort(pending_.begin(), pending_.end(),
                   [](const Pending& a, const Pending& b) { return a.done_nanos < b.done_nanos; });
  const int64_t granule = options_.granule_bytes.count();
  size_t done = 0;
  for (; done < pending_.size() && pending_[done].done_nanos <= now; ++done) {
    auto& [transfer, unused, error] = pending_[done];
    if (error == 0 && transfer.direction == Direction::kOut) {
      error = CopyOut(transfer.memory, memory_ + transfer.slot.value() * granule, granule);
    }
    if (error != 0) {
      failures_.fetch_add(1, std::memory_order_relaxed);
    } else if (transfer.direction == Direction::kIn) {
      std::memcpy(transfer.memory, SlotMemory(transfer.slot), granule);
      bytes_in_.fetch_add(granule, std::memory_order_relaxed);
    } else {
      bytes_out_.fetch_add(granule, std::memory_order_relaxed);
    }
    completions->push_back({transfer.tag, error});
  }
  pending_.erase(pending_.begin(), pending_.begin() + done);
  in_flight_.fetch_sub(static_cast<int>(done), std::memory_order_relaxed);
  return done > 0;
}

void EmulatedTier::Reap(std::vector<Completion>* completions, int64_t timeout_nanos) {
  const bool real_clock = options_.clock == &MonotonicClock();
  const int64_t start = MonotonicClock().NowNanos();
  for (;;) {
    const bool woken = woken_.exchange(false);
    if (Collect(completions) || woken || timeout_nanos == 0) return;
    int64_t wait = std::numeric_limits<int64_t>::max();
    if (timeout_nanos > 0) {
      wait = start + timeout_nanos - MonotonicClock().NowNanos();
      if (wait <= 0) return;
    }
    if (const int64_t next = NextCompletionNanos(); next >= 0) {
      wait = std::min(wait, real_clock ? std::max<int64_t>(0, next - options_.clock->NowNanos()) : kForeignClockNanos);
    }
    event_.Wait(wait == std::numeric_limits<int64_t>::max() ? -1 : wait);
  }
}

void EmulatedTier::Wake() {
  woken_.store(true);
  event_.Signal();
}

int EmulatedTier::ReadSync(SlotId slot, void* memory) {
  // No lock: a signal handler may have interrupted its holder.
  if (int64_t{slot.value()} >= options_.capacity / options_.granule_bytes) return EINVAL;
  if (options_.clock == &MonotonicClock()) {
    const int64_t nanos = TransferNanos(Direction::kIn) + static_cast<int64_t>(options_.latency_seconds * 1e9);
    const timespec time{nanos / 1'000'000'000, nanos % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  }
  std::memcpy(memory, SlotMemory(slot), options_.granule_bytes.count());
  bytes_in_.fetch_add(options_.granule_bytes.count(), std::memory_order_relaxed);
  return 0;
}

BlockTierStats EmulatedTier::Stats() const {
  BlockTierStats stats;
  stats.bytes_in = Bytes(bytes_in_.load(std::memory_order_relaxed));
  stats.bytes_out = Bytes(bytes_out_.load(std::memory_order_relaxed));
  stats.failures = failures_.load(std::memory_order_relaxed);
  stats.in_flight = in_flight_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace thermocline::tier

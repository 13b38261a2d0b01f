// BlockTier: a slow tier as the engine uses it. It keeps copies of granules in numbered slots and moves them to and
// from fast memory in the background.
//
// Some tiers are byte-addressable: compute could use their slots in place. They say so (`addressable`), and planners
// and the simulator may reckon with it; the engine does not use it yet and fetches a granule before it is touched,
// whatever the tier. Thread safety: AllocateSlot and FreeSlot may be called from any thread. Submit and Reap belong to
// one thread, the mover. Wake may be called from any thread and from a signal handler. ReadSync may be called from any
// thread, from a signal handler, and in a forked child. Ownership: the caller keeps the memory of a transfer mapped,
// and the slot allocated, until its completion is reaped. Errors: a refused or failed transfer is a Completion with its
// errno; nothing here aborts.
#ifndef THERMOCLINE_TIER_BLOCK_TIER_H_
#define THERMOCLINE_TIER_BLOCK_TIER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "src/base/units.h"

namespace thermocline::tier {

enum class Direction : uint8_t { kIn, kOut };  // kIn: slow to fast

struct Transfer {
  uint64_t tag = 0;  // comes back in the completion
  Direction direction = Direction::kIn;
  SlotId slot = kNoSlot;
  void* memory = nullptr;  // granule_bytes, aligned to 4 KiB
};

struct Completion {
  uint64_t tag = 0;
  int error = 0;  // 0, or the errno of the failure: the bytes at the destination are then unspecified
};

struct BlockTierStats {
  Bytes bytes_in;   // moved to fast memory, completed
  Bytes bytes_out;  // moved to the slow tier, completed
  int64_t failures = 0;
  int in_flight = 0;
  Bytes cached;  // bytes of this tier that the operating system keeps in memory all the same; they count as fast
  Bytes cached_in_flight;  // the most that transfers under way may add to that for a moment
  // Of tiers that wear, an SSD: what was written in the current day, and in a day at the mean rate so far. Both are
  // counted from the tier's creation, its own measurement included.
  Bytes written_today;
  Bytes written_per_day;
};

class BlockTier {
 public:
  virtual ~BlockTier() = default;

  virtual std::string Describe() const = 0;  // "file:/var/tmp (io_uring, O_DIRECT)"
  virtual Bytes granule_bytes() const = 0;
  virtual Bytes capacity() const = 0;
  // Whether slots are memory that compute could use in place.
  virtual bool addressable() const { return false; }

  // A slot of granule_bytes. kNoSlot when the tier is full (then and only then).
  virtual SlotId AllocateSlot() = 0;
  virtual void FreeSlot(SlotId slot) = 0;

  // Starts the transfers, in this order where it matters to the device. Takes at most max_in_flight() minus those in
  // flight, returns how many it took; does not wait for any. A failure to start becomes a completion. Where memory runs
  // out it throws std::bad_alloc, and has taken none.
  virtual int Submit(absl::Span<const Transfer> transfers) = 0;
  // At least 1. May fall and rise, while other processes use the same device say: never above what it was at first.
  virtual int max_in_flight() const = 0;

  // Appends what has completed. With `timeout_nanos` > 0 waits that long, < 0 for ever, until there is a completion or
  // Wake is called. Returns at once when a wake-up came since the last Reap. REQUIRES: `completions` has room for all
  // in flight, where a completion must not be lost as memory runs out.
  virtual void Reap(std::vector<Completion>* completions, int64_t timeout_nanos) = 0;
  virtual void Wake() = 0;

  // Reads a slot at once, on the calling thread, past the queue. Returns 0 or an errno. Async-signal-safe.
  virtual int ReadSync(SlotId slot, void* memory) = 0;

  virtual BlockTierStats Stats() const = 0;
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_BLOCK_TIER_H_

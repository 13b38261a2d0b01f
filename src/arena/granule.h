// Granule: the state of one unit of the arena's address space, and the table of all of them.
//
// Thread safety: `live` is atomic and changed without a lock; `presence` is written under the residency lock and may be
// read without it (a reader then checks again under the lock before it acts); everything else needs that lock.
// Ownership: the table owns its memory, which the kernel fills in as it is touched.
#ifndef THERMOCLINE_ARENA_GRANULE_H_
#define THERMOCLINE_ARENA_GRANULE_H_

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "src/base/units.h"
#include "src/os/memory.h"

namespace thermocline::arena {

enum class Presence : uint8_t {
  kHole,      // no frame: a touch faults
  kMapped,    // its frame is at its address
  kFetching,  // its frame is at home, being filled from the slow tier
  kEvicting,  // its frame is at home, being written out; a touch takes it back
  kFailed,    // its bytes can't be read from the slow tier
};

// A zeroed Granule is vacant: no content, no frame, no slot.
struct Granule {
  // In `live`: set once the granule may hold content (it is backed); the low bits count the live tensors in it.
  static constexpr uint32_t kBacked = 0x8000'0000u;
  std::atomic<uint32_t> live;

  std::atomic<Presence> presence;
  os::Protection protection;  // of the mapping; when armed, of the parts that are not open
  bool fresh;                 // backed, but without content so far: it needs a frame, no fetch
  bool has_slot;
  bool has_frame;
  bool clean;     // the slot holds its content
  bool writing;   // a write-out is in flight
  bool dirtied;   // written to, or taken back, since that write-out began
  bool leaving;   // release it as soon as it is clean
  bool demanded;  // someone waits for it; it is in the demand queue
  bool armed;     // opened in parts by an access profiler
  bool opened;    // is in the list of granules with open parts
  bool in_lru;
  bool refused;      // a demand could not be served; whoever waits gives up, or waits on where only room was missing
  bool no_room;      // it was refused because no frame could be freed
  bool slot_frozen;  // a forked child may still read the slot: it may be neither written nor freed
  bool held;         // the kernel or a device held its pages when it was to leave
  uint8_t retries;
  uint32_t pins;
  FrameId frame;
  SlotId slot;
  uint32_t lru_previous, lru_next;
  uint32_t next_demand;
  uint32_t next_opened;
};

class GranuleTable {
 public:
  static absl::StatusOr<GranuleTable> Create(int64_t count);
  GranuleTable(GranuleTable&& other) noexcept;
  GranuleTable& operator=(GranuleTable&&) = delete;
  ~GranuleTable();

  Granule& operator[](GranuleId id) { return granules_[id.value()]; }
  const Granule& operator[](GranuleId id) const { return granules_[id.value()]; }
  int64_t count() const { return count_; }
  // The part of it that has been touched.
  Bytes MemoryBytes() const { return os::ResidentBytes(granules_, Bytes(count_ * sizeof(Granule))); }

 private:
  GranuleTable(Granule* granules, int64_t count) : granules_(granules), count_(count) {}
  Granule* granules_;
  int64_t count_;
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_GRANULE_H_

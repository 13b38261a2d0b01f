// NumaTier: slots in the memory of one node, a CXL device or a second socket, say. Copied to and from by a few threads.
//
// Every slot's pages lie on that node and on no other: a slot is handed out only after the kernel has said so of each
// of its pages, and is bound there (MPOL_BIND), so that the kernel leaves it there. A node without room is a full tier;
// pages never go elsewhere instead, and the out-of-memory killer is never called for them: they are taken from where
// there are some, moved to the node, and given back when that fails.
// Freed slots keep their memory for the next one. Nothing is locked: under pressure the kernel may still swap slots
// out, or demote them to a slower node.
// Thread safety, ownership, errors: as BlockTier.
#ifndef THERMOCLINE_TIER_NUMA_TIER_H_
#define THERMOCLINE_TIER_NUMA_TIER_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/probe_record.h"
#include "src/base/units.h"
#include "src/tier/block_tier.h"
#include "src/tier/numa_system.h"
#include "src/tier/slot_pool.h"
#include "src/tier/slot_transfers.h"

namespace thermocline::tier {

struct NumaTierOptions {
  int node = -1;
  Bytes granule_bytes = MiB(2);  // a multiple of 4 KiB
  Bytes capacity;                // 0: what the node has free now
  int queue_depth = 32;
  int threads = 0;  // that copy; 0: one a two CPUs, at most four
};

// Where the pages of all slots that were ever handed out lie, as the kernel answers now.
struct NumaPlacement {
  int64_t on_node = 0;
  int64_t elsewhere = 0;
  int64_t absent = 0;  // swapped out
};

class NumaTier final : public BlockTier {
 public:
  // The NumaSystem must outlive the tier. NotFound: no such node; ResourceExhausted: it is full; PermissionDenied or
  // Unavailable: the kernel refuses to place memory, or to say where it is.
  static absl::StatusOr<std::unique_ptr<NumaTier>> Create(const NumaTierOptions& options,
                                                          NumaSystem& system = RealNumaSystem());
  ~NumaTier() override;

  std::string Describe() const override;
  Bytes granule_bytes() const override { return options_.granule_bytes; }
  Bytes capacity() const override { return options_.granule_bytes * limit_; }
  bool addressable() const override { return true; }
  SlotId AllocateSlot() override;
  void FreeSlot(SlotId slot) override;
  int Submit(absl::Span<const Transfer> transfers) override;
  int max_in_flight() const override { return options_.queue_depth; }
  void Reap(std::vector<Completion>* completions, int64_t timeout_nanos) override {
    transfers_.Reap(completions, timeout_nanos);
  }
  void Wake() override { transfers_.Wake(); }
  int ReadSync(SlotId slot, void* memory) override;
  BlockTierStats Stats() const override { return transfers_.Stats(); }

  // A system call for each 2 MiB: not for a hot path.
  absl::StatusOr<NumaPlacement> Placement() const;
  const std::vector<ProbeRecord>& probes() const { return probes_; }
  // A slot's bytes, in place.
  const char* SlotMemory(SlotId slot) const { return memory_ + slot.value() * options_.granule_bytes.count(); }

 private:
  NumaTier(const NumaTierOptions& options, NumaSystem& system)
      : options_(options), system_(system), transfers_(options.granule_bytes, options.queue_depth) {}
  absl::Status Open();
  absl::Status FindRoom();
  absl::Status MapSlots();
  absl::Status OpenEngine();
  int TakeMemory(char* at);  // 0: the slot's pages are on the node; else the errno
  int PlacePages(char* at);
  int CountPages(const char* at, int64_t bytes, std::vector<void*>* strays, NumaPlacement* placement) const;
  int Copy(const IoRequest& request);

  const NumaTierOptions options_;
  NumaSystem& system_;
  int64_t limit_ = 0;  // slots at most
  char* mapping_ = nullptr;
  int64_t mapped_bytes_ = 0;
  char* memory_ = nullptr;  // the slots', aligned to a granule
  SlotTransfers transfers_;
  std::vector<ProbeRecord> probes_;
  bool can_query_ = true;  // move_pages answers; else get_mempolicy, page by page

  std::mutex slots_mutex_;
  SlotPool slots_;
  int64_t full_until_nanos_ = 0;

  std::atomic<int64_t> slot_count_{0};
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_NUMA_TIER_H_

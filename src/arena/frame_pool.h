// FramePool: the arena's fast memory, in frames of one granule. A frame keeps its number and its home address while its
// pages move to tensors' addresses and back; its pages are never zeroed or given back while the limit allows them.
//
// Thread safety: none of its own; the residency lock guards it. Ownership: owns the home address space.
// Errors: Take returns kNoFrame at the limit.
#ifndef THERMOCLINE_ARENA_FRAME_POOL_H_
#define THERMOCLINE_ARENA_FRAME_POOL_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/units.h"
#include "src/os/memory.h"
#include "src/os/shared_memory.h"

namespace thermocline::arena {

class FramePool {
 public:
  // `most`: the largest limit that SetLimit may ask for later.
  static absl::StatusOr<std::unique_ptr<FramePool>> Create(os::Memory& memory, Bytes granule_bytes, int64_t limit,
                                                           int64_t most);
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  FrameId Take();
  // REQUIRES: the frame was taken, and its pages are at home, readable and writable.
  void Give(FrameId frame);
  char* Home(FrameId frame) const { return base_ + int64_t{frame.value()} * granule_bytes_.count(); }

  // Free frames become huge pages again (os::Memory::Collapse).
  void CollapseFree();

  // ---- Shared frames, for an access profiler that needs them. From BeginShared to EndShared frames that are taken are
  // shared. A frame keeps its number and its home, and Convert keeps its bytes.
  absl::Status BeginShared();
  // Free frames become private again; those in use stay shared until they are converted or given.
  void EndShared();
  bool IsShared(FrameId frame) const { return shared_flags_[frame.value()]; }
  bool any_shared() const { return shared_frames_ > 0; }
  // REQUIRES: the frame is at home, and one frame's memory is held (Hold) for the copy.
  int Convert(FrameId frame, bool shared);
  // Keeps one frame's memory free, without its being a frame. False when there is none.
  bool Hold();
  void Unhold() { --in_use_; }

  // Frames over a lowered limit go back to the system as they are given; in_use() may exceed the limit until then.
  void SetLimit(int64_t limit);
  // Fast memory that is in no frame and counts all the same: as many frames fewer may be used, down to `fewest`. What
  // is found to be less gives them back one with each call, so that a figure that goes up and down evicts nothing.
  void SetOutside(Bytes outside, int64_t fewest);
  // Frames that may be in use: those of the budget, less what is outside.
  int64_t limit() const { return limit_; }
  int64_t budget() const { return budget_; }
  int64_t most() const { return most_; }
  int64_t in_use() const { return in_use_; }
  int64_t peak_in_use() const { return peak_in_use_; }
  // Of frames in use and what was outside at that time.
  Bytes peak_bytes() const { return peak_bytes_; }
  // The peaks count from now.
  void ForgetPeak() {
    peak_in_use_ = in_use_;
    peak_bytes_ = Bytes(0);
    NotePeak();
  }
  // Of its lists, which are as long from the start as they may become.
  Bytes MetadataBytes() const {
    return Bytes(
        static_cast<int64_t>((warm_.capacity() + cold_.capacity()) * sizeof(FrameId) + shared_flags_.capacity() / 8));
  }
  int64_t available() const { return limit_ > in_use_ ? limit_ - in_use_ : 0; }

 private:
  FramePool(os::Memory& memory, char* base, Bytes granule_bytes, int64_t limit, int64_t most);

  void ApplyLimit();
  void NotePeak() {
    peak_in_use_ = std::max(peak_in_use_, in_use_);
    peak_bytes_ = std::max(peak_bytes_, granule_bytes_ * in_use_ + outside_);
  }
  bool Fill(FrameId frame);
  void Empty(FrameId frame);
  void SetShared(FrameId frame, bool shared);
  char* Scratch() const { return base_ + most_ * granule_bytes_.count(); }
  Bytes OffsetOf(FrameId frame) const { return granule_bytes_ * int64_t{frame.value()}; }

  os::Memory& memory_;
  char* const base_;
  const Bytes granule_bytes_;
  const int64_t most_;
  int64_t budget_;  // as SetLimit said
  int64_t limit_;
  Bytes outside_;
  int64_t outside_frames_ = 0, fewest_ = 0;
  int64_t in_use_ = 0;
  int64_t peak_in_use_ = 0;
  Bytes peak_bytes_;
  int64_t made_ = 0;           // frames [0, made_) have been mapped
  std::vector<FrameId> warm_;  // free, with pages
  std::vector<FrameId> cold_;  // free, pages given back
  std::unique_ptr<os::SharedMemory> shared_;
  bool sharing_ = false;            // between BeginShared and EndShared
  std::vector<bool> shared_flags_;  // by frame
  int64_t shared_frames_ = 0;
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_FRAME_POOL_H_

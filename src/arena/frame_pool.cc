#include "src/arena/frame_pool.h"

#include <algorithm>

namespace thermocline::arena {

absl::StatusOr<std::unique_ptr<FramePool>> FramePool::Create(os::Memory& memory, Bytes granule_bytes, int64_t limit,
                                                             int64_t most) {
  most = std::max(most, limit);
  absl::StatusOr<char*> base = memory.Reserve(granule_bytes * most, std::max(granule_bytes, MiB(2)));
  if (!base.ok()) return base.status();
  return std::unique_ptr<FramePool>(new FramePool(memory, *base, granule_bytes, limit, most));
}

FramePool::FramePool(os::Memory& memory, char* base, Bytes granule_bytes, int64_t limit, int64_t most)
    : memory_(memory), base_(base), granule_bytes_(granule_bytes), most_(most), limit_(limit) {
  // A fault handler may take a frame: the lists must never allocate there.
  warm_.reserve(most);
  cold_.reserve(most);
}

FramePool::~FramePool() { memory_.Unmap(base_, granule_bytes_ * most_); }

FrameId FramePool::Take() {
  if (in_use_ >= limit_) return kNoFrame;
  FrameId frame = kNoFrame;
  if (!warm_.empty()) {
    frame = warm_.back();
    warm_.pop_back();
  } else if (!cold_.empty()) {
    frame = cold_.back();
    cold_.pop_back();
  } else {
    frame = FrameId(static_cast<uint32_t>(made_));
    if (memory_.MapFresh(Home(frame), granule_bytes_, granule_bytes_ >= MiB(2)) != 0) return kNoFrame;
    ++made_;
  }
  peak_in_use_ = std::max(peak_in_use_, ++in_use_);
  return frame;
}

void FramePool::Give(FrameId frame) {
  --in_use_;
  if (in_use_ + static_cast<int64_t>(warm_.size()) >= limit_) {
    memory_.Discard(Home(frame), granule_bytes_);
    cold_.push_back(frame);
  } else {
    warm_.push_back(frame);
  }
}

void FramePool::CollapseFree() {
  for (FrameId frame : warm_) memory_.Collapse(Home(frame), granule_bytes_);
}

void FramePool::SetLimit(int64_t limit) {
  limit_ = std::min(limit, most_);
  while (!warm_.empty() && in_use_ + static_cast<int64_t>(warm_.size()) > limit_) {
    memory_.Discard(Home(warm_.back()), granule_bytes_);
    cold_.push_back(warm_.back());
    warm_.pop_back();
  }
}

}  // namespace thermocline::arena

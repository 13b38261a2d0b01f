#include "src/arena/frame_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace thermocline::arena {

absl::StatusOr<std::unique_ptr<FramePool>> FramePool::Create(os::Memory& memory, Bytes granule_bytes, int64_t limit,
                                                             int64_t most) {
  most = std::max(most, limit);
  absl::StatusOr<char*> base = memory.Reserve(granule_bytes * (most + 1), std::max(granule_bytes, MiB(2)));
  if (!base.ok()) return base.status();
  return std::unique_ptr<FramePool>(new FramePool(memory, *base, granule_bytes, limit, most));
}

FramePool::FramePool(os::Memory& memory, char* base, Bytes granule_bytes, int64_t limit, int64_t most)
    : memory_(memory), base_(base), granule_bytes_(granule_bytes), most_(most), budget_(limit), limit_(limit) {
  // A fault handler may take a frame: the lists must never allocate there.
  warm_.reserve(most);
  cold_.reserve(most);
  shared_flags_.resize(most);
}

FramePool::~FramePool() { memory_.Unmap(base_, granule_bytes_ * (most_ + 1)); }

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
  if (sharing_ && !IsShared(frame)) Fill(frame);  // where it can't be, it serves as it is
  ++in_use_;
  NotePeak();
  return frame;
}

void FramePool::Give(FrameId frame) {
  --in_use_;
  if (in_use_ + static_cast<int64_t>(warm_.size()) >= limit_) {
    Empty(frame);
    cold_.push_back(frame);
  } else {
    if (!sharing_ && IsShared(frame)) Empty(frame);
    warm_.push_back(frame);
  }
}

void FramePool::CollapseFree() {
  for (FrameId frame : warm_) {
    if (!IsShared(frame)) memory_.Collapse(Home(frame), granule_bytes_);
  }
}

void FramePool::SetLimit(int64_t limit) {
  budget_ = std::min(limit, most_);
  ApplyLimit();
}

void FramePool::SetOutside(Bytes outside, int64_t fewest) {
  outside_ = outside;
  outside_frames_ = std::max(RoundUp(outside, granule_bytes_) / granule_bytes_, outside_frames_ - 1);
  fewest_ = fewest;
  ApplyLimit();
  NotePeak();
}

void FramePool::ApplyLimit() {
  limit_ = std::max(budget_ - outside_frames_, std::min(budget_, fewest_));
  while (!warm_.empty() && in_use_ + static_cast<int64_t>(warm_.size()) > limit_) {
    Empty(warm_.back());
    cold_.push_back(warm_.back());
    warm_.pop_back();
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Shared frames.

absl::Status FramePool::BeginShared() {
  if (shared_ == nullptr) {
    auto shared = os::SharedMemory::Create(granule_bytes_ * most_);
    if (!shared.ok()) return shared.status();
    shared_ = *std::move(shared);
  }
  sharing_ = true;
  return absl::OkStatus();
}

void FramePool::EndShared() {
  sharing_ = false;
  for (const std::vector<FrameId>* free : {&warm_, &cold_}) {
    for (FrameId frame : *free) {
      if (IsShared(frame)) Empty(frame);
    }
  }
}

void FramePool::SetShared(FrameId frame, bool shared) {
  if (IsShared(frame) != shared) shared_frames_ += shared ? 1 : -1;
  shared_flags_[frame.value()] = shared;
}

// A free private frame becomes a shared one: its memory goes before the other comes.
bool FramePool::Fill(FrameId frame) {
  memory_.Discard(Home(frame), granule_bytes_);
  if (shared_->Provide(OffsetOf(frame), granule_bytes_) != 0) {
    shared_->Release(OffsetOf(frame), granule_bytes_);
    return false;
  }
  if (shared_->Map(Home(frame), OffsetOf(frame), granule_bytes_) != 0) {
    shared_->Release(OffsetOf(frame), granule_bytes_);
    memory_.MapFresh(Home(frame), granule_bytes_, granule_bytes_ >= MiB(2));
    return false;
  }
  SetShared(frame, true);
  return true;
}

// A free frame's memory goes back to the system; it is private afterwards.
void FramePool::Empty(FrameId frame) {
  if (!IsShared(frame)) {
    memory_.Discard(Home(frame), granule_bytes_);
    return;
  }
  shared_->Release(OffsetOf(frame), granule_bytes_);
  if (memory_.MapFresh(Home(frame), granule_bytes_, granule_bytes_ >= MiB(2)) == 0) {
    SetShared(frame, false);
  } else {
    shared_->Provide(OffsetOf(frame), granule_bytes_);
  }
}

int FramePool::Convert(FrameId frame, bool shared) {
  if (IsShared(frame) == shared) return 0;
  // The copy is made beside it and takes its place.
  int error = shared ? shared_->Provide(OffsetOf(frame), granule_bytes_) : 0;
  if (error == 0) {
    error = shared ? shared_->Map(Scratch(), OffsetOf(frame), granule_bytes_)
                   : memory_.MapFresh(Scratch(), granule_bytes_, granule_bytes_ >= MiB(2));
  }
  if (error == 0) {
    std::memcpy(Scratch(), Home(frame), granule_bytes_.count());
    error = memory_.Attach(Scratch(), Home(frame), granule_bytes_, os::Protection::kReadWrite);
  }
  // The shared pages that nobody shows any more: on failure the new ones, else the old ones.
  if ((error == 0) != shared) shared_->Release(OffsetOf(frame), granule_bytes_);
  if (error == 0) SetShared(frame, shared);
  return error;
}

bool FramePool::Hold() {
  if (available() == 0) return false;
  ++in_use_;
  if (in_use_ + static_cast<int64_t>(warm_.size()) > limit_ && !warm_.empty()) {
    Empty(warm_.back());
    cold_.push_back(warm_.back());
    warm_.pop_back();
  }
  return true;
}

}  // namespace thermocline::arena

#include "src/adapters/calls/resident_transfer.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "src/runtime/runtime.h"

namespace thermocline::calls {
namespace {

using runtime::MemoryOwner;

constexpr int64_t kLargestPiece = 4 << 20;
constexpr int64_t kSmallestPiece = 256 << 10;  // larger than any datagram

// What calls in flight have pinned, all threads and runtimes together: at most a quarter of a budget, so that there are
// always frames for the program's own touches.
std::atomic<int64_t> g_pinned{0};

bool Take(int64_t bytes, int64_t most) {
  if (g_pinned.fetch_add(bytes) + bytes <= most) return true;
  g_pinned.fetch_sub(bytes);
  return false;
}

size_t BytesOf(const iovec* vectors, int count) {
  size_t bytes = 0;
  for (int i = 0; i < count; ++i) bytes += vectors[i].iov_len;
  return bytes;
}

bool NeedsPin(const iovec& vector) { return vector.iov_len > 0 && runtime::IsOwned(vector.iov_base); }

// The smallest fast budget of the runtimes that the buffers are in; 0 when they are in none any more.
int64_t BudgetOf(const iovec* vectors, int count) {
  int64_t budget = 0;
  for (int i = 0; i < count; ++i) {
    if (!NeedsPin(vectors[i])) continue;
    const MemoryOwner owner(vectors[i].iov_base);
    if (owner.runtime() == nullptr) return 0;
    const int64_t own = owner.runtime()->budget().count();
    budget = budget == 0 ? own : std::min(budget, own);
  }
  return budget;
}

absl::Status Pin(const void* begin, size_t bytes) {
  const MemoryOwner owner(begin);
  if (owner.runtime() == nullptr) return absl::NotFoundError("its runtime is gone");
  return owner.runtime()->Pin(begin, Bytes(static_cast<int64_t>(bytes)));
}

void Unpin(const void* begin, size_t bytes) {
  const MemoryOwner owner(begin);
  if (owner.runtime() != nullptr) owner.runtime()->Unpin(begin, Bytes(static_cast<int64_t>(bytes))).IgnoreError();
}

// Whether the buffer begins in a live tensor.
bool IsTensor(const void* begin) {
  const absl::Status status = Pin(begin, 1);
  if (status.ok()) Unpin(begin, 1);
  return !absl::IsNotFound(status) && !absl::IsInvalidArgument(status);
}

}  // namespace

size_t PieceBytes(const iovec* vectors, int count) {
  return static_cast<size_t>(std::clamp(BudgetOf(vectors, count) / 8, kSmallestPiece, kLargestPiece));
}

ResidentPiece::ResidentPiece(Way way, const iovec* vectors, int count) : way_(way), vectors_(vectors), count_(count) {
  const Held held = PinAll();
  if (held == Held::kAll) return;
  const int failed = pinned_;
  UnpinAll();
  // What ends beyond its tensor does no harm where the kernel brings less than it is offered. What lies in none is left
  // to the kernel, which says EFAULT.
  if (held == Held::kNoRoom || (way == Way::kIn && IsTensor(vectors[failed].iov_base))) Bounce();
}

ResidentPiece::~ResidentPiece() {
  const int saved = errno;
  UnpinAll();
  if (bounce_.iov_base != nullptr) munmap(bounce_.iov_base, bounce_.iov_len);
  errno = saved;
}

ResidentPiece::Held ResidentPiece::PinAll() {
  size_t wanted = 0;
  for (int i = 0; i < count_; ++i) {
    if (NeedsPin(vectors_[i])) wanted += vectors_[i].iov_len;
  }
  const int64_t budget = BudgetOf(vectors_, count_);
  if (budget == 0 && wanted > 0) return Held::kNoTensor;
  if (!Take(static_cast<int64_t>(wanted), budget / 4)) return Held::kNoRoom;
  allowed_ = wanted;
  for (; pinned_ < count_; ++pinned_) {
    const iovec& vector = vectors_[pinned_];
    if (!NeedsPin(vector)) continue;
    const absl::Status status = Pin(vector.iov_base, vector.iov_len);
    if (absl::IsNotFound(status) || absl::IsInvalidArgument(status)) return Held::kNoTensor;
    if (!status.ok()) return Held::kNoRoom;
  }
  return Held::kAll;
}

void ResidentPiece::UnpinAll() {
  for (int i = 0; i < pinned_; ++i) {
    if (NeedsPin(vectors_[i])) Unpin(vectors_[i].iov_base, vectors_[i].iov_len);
  }
  pinned_ = 0;
  g_pinned.fetch_sub(static_cast<int64_t>(allowed_));
  allowed_ = 0;
}

// Copying touches the program's memory granule by granule, which always works. The buffer is the system's, not
// malloc's, which may be a runtime's too; O_DIRECT wants it in pages, as it is.
void ResidentPiece::Bounce() {
  const size_t bytes = BytesOf(vectors_, count_);
  void* const buffer = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffer == MAP_FAILED) return;
  bounce_ = {buffer, bytes};
  if (way_ == Way::kIn) return;
  char* to = static_cast<char*>(buffer);
  for (int i = 0; i < count_; ++i) {
    memcpy(to, vectors_[i].iov_base, vectors_[i].iov_len);
    to += vectors_[i].iov_len;
  }
}

void ResidentPiece::Finish(ssize_t bytes) {
  if (bounce_.iov_base == nullptr || way_ == Way::kOut || bytes <= 0) return;
  const int saved = errno;
  const char* from = static_cast<const char*>(bounce_.iov_base);
  auto left = static_cast<size_t>(bytes);
  for (int i = 0; i < count_ && left > 0; ++i) {
    const size_t length = std::min(left, vectors_[i].iov_len);
    memcpy(vectors_[i].iov_base, from, length);
    from += length;
    left -= length;
  }
  errno = saved;
}

int PieceCutter::Next(iovec* piece, size_t* bytes) {
  int length = 0;
  *bytes = 0;
  while (at_ < count_ && length < kPieceVectors && *bytes < most_) {
    const size_t take = std::min(vectors_[at_].iov_len - within_, most_ - *bytes);
    if (take > 0) {
      piece[length++] = {static_cast<char*>(vectors_[at_].iov_base) + within_, take};
      *bytes += take;
      within_ += take;
    }
    if (within_ == vectors_[at_].iov_len) {
      ++at_;
      within_ = 0;
    }
  }
  return length;
}

bool AnyIsOwned(const iovec* vectors, int count) {
  for (int i = 0; i < count; ++i) {
    if (NeedsPin(vectors[i])) return true;
  }
  return false;
}

bool IsRegularFile(int fd) {
  struct stat about;
  const int saved = errno;
  const bool regular = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
  errno = saved;
  return regular;
}

}  // namespace thermocline::calls

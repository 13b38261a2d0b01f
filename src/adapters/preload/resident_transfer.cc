#include "src/adapters/preload/resident_transfer.h"

#include <string.h>
#include <sys/stat.h>

#include <algorithm>

#include "src/adapters/preload/real_calls.h"

namespace thermocline::preload {
namespace {

constexpr size_t kPage = 4096;  // O_DIRECT wants its buffers so aligned
constexpr size_t kLargestPiece = 4 << 20;
constexpr size_t kSmallestPiece = 256 << 10;  // larger than any datagram

std::atomic<int64_t> g_allowance{0};

// Takes from the transfer budget; false when it does not have so much.
bool Take(size_t bytes) {
  const auto wanted = static_cast<int64_t>(bytes);
  if (g_allowance.fetch_sub(wanted) >= wanted) return true;
  g_allowance.fetch_add(wanted);
  return false;
}

size_t BytesOf(const iovec* vectors, int count) {
  size_t bytes = 0;
  for (int i = 0; i < count; ++i) bytes += vectors[i].iov_len;
  return bytes;
}

bool Pin(const iovec& vector) {
  const Inside inside;
  return tc_pin(Runtime(), vector.iov_base, vector.iov_len) == TC_OK;
}

void Unpin(const iovec& vector) {
  const Inside inside;
  tc_unpin(Runtime(), vector.iov_base, vector.iov_len);
}

bool NeedsPin(const iovec& vector) { return vector.iov_len > 0 && IsOurs(vector.iov_base); }

}  // namespace

size_t g_piece_bytes = kSmallestPiece;

void SetTransferBudget(tc_runtime* runtime) {
  tc_stats stats = {};
  stats.struct_size = sizeof(stats);
  if (runtime == nullptr || tc_get_stats(runtime, &stats) != TC_OK) return;
  const size_t budget = stats.fast_budget_bytes;
  g_piece_bytes = std::clamp(budget / 8, kSmallestPiece, kLargestPiece);
  g_allowance.store(static_cast<int64_t>(budget / 4));
}

ResidentPiece::ResidentPiece(Way way, const iovec* vectors, int count)
    : way_(way), vectors_(vectors), count_(count) {
  if (PinAll()) return;
  UnpinAll();
  Bounce();
}

ResidentPiece::~ResidentPiece() {
  const int saved = errno;
  UnpinAll();
  Real().free(bounce_.iov_base);
  errno = saved;
}

bool ResidentPiece::PinAll() {
  size_t wanted = 0;
  for (int i = 0; i < count_; ++i) {
    if (NeedsPin(vectors_[i])) wanted += vectors_[i].iov_len;
  }
  if (!Take(wanted)) return false;
  allowed_ = wanted;
  for (; pinned_ < count_; ++pinned_) {
    if (NeedsPin(vectors_[pinned_]) && !Pin(vectors_[pinned_])) return false;
  }
  return true;
}

void ResidentPiece::UnpinAll() {
  for (int i = 0; i < pinned_; ++i) {
    if (NeedsPin(vectors_[i])) Unpin(vectors_[i]);
  }
  pinned_ = 0;
  g_allowance.fetch_add(static_cast<int64_t>(allowed_));
  allowed_ = 0;
}

// Copying touches the program's memory granule by granule, which always works.
void ResidentPiece::Bounce() {
  bounce_.iov_len = BytesOf(vectors_, count_);
  bounce_.iov_base = Real().memalign(kPage, bounce_.iov_len);
  if (bounce_.iov_base == nullptr || way_ == Way::kIn) return;
  char* to = static_cast<char*>(bounce_.iov_base);
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
  while (at_ < count_ && length < kPieceVectors && *bytes < g_piece_bytes) {
    const size_t take = std::min(vectors_[at_].iov_len - within_, g_piece_bytes - *bytes);
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

bool AnyIsOurs(const iovec* vectors, int count) {
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

}  // namespace thermocline::preload

// ResidentTransfer: makes a system call's buffers resident while the kernel reads or writes them.
//
// A granule that is away when the kernel touches it makes the call fail with EFAULT. So the call is made in pieces that
// fit the fast budget; each piece's buffers are pinned for it, or, where that would take too much of the budget, the
// piece goes through a buffer of its own. What comes out is what the one call would have done, as far as POSIX lets a
// caller see: a read may be short where it may be short anyway. Thread safety: any thread. Errors: as the call; a piece
// that fails after another has been done ends in a short count.
#ifndef THERMOCLINE_ADAPTERS_CALLS_RESIDENT_TRANSFER_H_
#define THERMOCLINE_ADAPTERS_CALLS_RESIDENT_TRANSFER_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>

#include "src/runtime/memory_owner.h"

namespace thermocline::calls {

// Which way the bytes go, as the program sees it.
enum class Way { kIn, kOut };

inline constexpr int kPieceVectors = 1024;  // the kernel's own limit (IOV_MAX): a datagram is never cut by it

// The largest piece of a transfer of these buffers: an eighth of the fast budget of the runtime that they are in, at
// most 4 MiB.
size_t PieceBytes(const iovec* vectors, int count);

// A run of buffers that is resident as long as it lives.
class ResidentPiece {
 public:
  ResidentPiece(Way way, const iovec* vectors, int count);
  ~ResidentPiece();
  ResidentPiece(const ResidentPiece&) = delete;
  ResidentPiece& operator=(const ResidentPiece&) = delete;

  // What to hand to the kernel.
  const iovec* vectors() const { return bounce_.iov_base != nullptr ? &bounce_ : vectors_; }
  int count() const { return bounce_.iov_base != nullptr ? 1 : count_; }
  // The kernel moved so many bytes.
  void Finish(ssize_t bytes);

 private:
  enum class Held { kAll, kNoRoom, kNoTensor };
  Held PinAll();
  void UnpinAll();
  void Bounce();

  const Way way_;
  const iovec* const vectors_;
  const int count_;
  size_t allowed_ = 0;  // of what calls may have pinned, taken by this piece
  int pinned_ = 0;      // vectors [0, pinned_) are pinned, those that are a runtime's
  iovec bounce_ = {nullptr, 0};
};

// Cuts a list of buffers into pieces, in order.
class PieceCutter {
 public:
  PieceCutter(const iovec* vectors, int count) : vectors_(vectors), count_(count), most_(PieceBytes(vectors, count)) {}
  // The next piece in `piece`, which has room for kPieceVectors; returns how many vectors it has, 0 at the end.
  int Next(iovec* piece, size_t* bytes);

 private:
  const iovec* const vectors_;
  const int count_;
  const size_t most_;
  int at_ = 0;
  size_t within_ = 0;
};

bool AnyIsOwned(const iovec* vectors, int count);
bool IsRegularFile(int fd);

// call(vectors, count, done) moves the piece, `done` bytes having been moved before it, as readv and writev do. Goes on
// to the next piece after a full one if `whole`; else one piece is all that is done.
template <typename Call>
ssize_t TransferResident(Way way, const iovec* vectors, int count, bool whole, const Call& call) {
  PieceCutter cutter(vectors, count);
  iovec piece[kPieceVectors];
  size_t done = 0;
  size_t bytes = 0;
  int length = cutter.Next(piece, &bytes);
  if (length == 0) return call(vectors, count, 0);  // no bytes, but an empty datagram or an error
  for (; length > 0; length = cutter.Next(piece, &bytes)) {
    ResidentPiece resident(way, piece, length);
    const ssize_t moved = call(resident.vectors(), resident.count(), done);
    resident.Finish(moved);
    if (moved < 0) return done > 0 ? static_cast<ssize_t>(done) : -1;
    done += static_cast<size_t>(moved);
    if (static_cast<size_t>(moved) < bytes || !whole) break;
  }
  return static_cast<ssize_t>(done);
}

}  // namespace thermocline::calls

#endif  // THERMOCLINE_ADAPTERS_CALLS_RESIDENT_TRANSFER_H_

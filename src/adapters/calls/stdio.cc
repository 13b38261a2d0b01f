// fread, fwrite and buffers of streams, in front of the C library's.
//
// The C library's own stdio calls the kernel past any interposed read, with the program's buffer where the transfer is
// large; so the buffer is made resident here. fgets, getline, fscanf and the like copy from the stream's buffer in user
// code, where a fault is handled; they need nothing as long as the stream's buffer is not ours, which setvbuf sees to.

#include <stdio.h>

#include "src/adapters/calls/calls.h"
#include "src/adapters/calls/real_calls.h"
#include "src/adapters/calls/resident_transfer.h"

namespace thermocline::calls {
namespace {

// The items' bytes; false where they overflow, which is left to the C library.
bool TotalBytes(size_t size, size_t count, size_t* bytes) {
  return !__builtin_mul_overflow(size, count, bytes) && *bytes > 0;
}

// Moves `bytes` through `move(buffer, bytes, stream)`; returns whole items.
template <typename Move>
size_t MoveItems(Way way, void* buffer, size_t size, size_t bytes, FILE* stream, const Move& move) {
  const iovec whole = {buffer, bytes};
  const ssize_t moved = TransferResident(way, &whole, 1, true, [&](const iovec* v, int, size_t) {
    return static_cast<ssize_t>(move(v->iov_base, v->iov_len, stream));
  });
  return static_cast<size_t>(moved) / size;
}

// Other threads' calls come before or after all pieces, never between them.
class StreamLock {
 public:
  explicit StreamLock(FILE* stream) : stream_(stream) { flockfile(stream_); }
  ~StreamLock() { funlockfile(stream_); }
  StreamLock(const StreamLock&) = delete;
  StreamLock& operator=(const StreamLock&) = delete;

 private:
  FILE* stream_;
};

size_t ReadItems(void* buffer, size_t size, size_t bytes, FILE* stream) {
  return MoveItems(Way::kIn, buffer, size, bytes, stream,
                   [](void* to, size_t length, FILE* from) { return Real().fread_unlocked(to, 1, length, from); });
}

size_t WriteItems(const void* buffer, size_t size, size_t bytes, FILE* stream) {
  return MoveItems(Way::kOut, const_cast<void*>(buffer), size, bytes, stream,
                   [](void* from, size_t length, FILE* to) { return Real().fwrite_unlocked(from, 1, length, to); });
}

}  // namespace
}  // namespace thermocline::calls

namespace calls = thermocline::calls;
using calls::Real;
using thermocline::runtime::IsOwned;

THERMOCLINE_INTERPOSED size_t fread(void* buffer, size_t size, size_t count, FILE* stream) {
  size_t bytes = 0;
  if (!IsOwned(buffer) || !calls::TotalBytes(size, count, &bytes)) return Real().fread(buffer, size, count, stream);
  const calls::StreamLock lock(stream);
  return calls::ReadItems(buffer, size, bytes, stream);
}
THERMOCLINE_INTERPOSED size_t fread_unlocked(void* buffer, size_t size, size_t count, FILE* stream) {
  size_t bytes = 0;
  if (!IsOwned(buffer) || !calls::TotalBytes(size, count, &bytes)) {
    return Real().fread_unlocked(buffer, size, count, stream);
  }
  return calls::ReadItems(buffer, size, bytes, stream);
}
THERMOCLINE_INTERPOSED size_t __fread_chk(void* buffer, size_t room, size_t size, size_t count, FILE* stream) {
  size_t bytes = 0;
  if (!IsOwned(buffer) || !calls::TotalBytes(size, count, &bytes) || bytes > room) {
    return Real().__fread_chk(buffer, room, size, count, stream);
  }
  const calls::StreamLock lock(stream);
  return calls::ReadItems(buffer, size, bytes, stream);
}
THERMOCLINE_INTERPOSED size_t __fread_unlocked_chk(void* buffer, size_t room, size_t size, size_t count, FILE* stream) {
  size_t bytes = 0;
  if (!IsOwned(buffer) || !calls::TotalBytes(size, count, &bytes) || bytes > room) {
    return Real().__fread_unlocked_chk(buffer, room, size, count, stream);
  }
  return calls::ReadItems(buffer, size, bytes, stream);
}
THERMOCLINE_INTERPOSED size_t fwrite(const void* buffer, size_t size, size_t count, FILE* stream) {
  size_t bytes = 0;
  if (!IsOwned(buffer) || !calls::TotalBytes(size, count, &bytes)) return Real().fwrite(buffer, size, count, stream);
  const calls::StreamLock lock(stream);
  return calls::WriteItems(buffer, size, bytes, stream);
}
THERMOCLINE_INTERPOSED size_t fwrite_unlocked(const void* buffer, size_t size, size_t count, FILE* stream) {
  size_t bytes = 0;
  if (!IsOwned(buffer) || !calls::TotalBytes(size, count, &bytes)) {
    return Real().fwrite_unlocked(buffer, size, count, stream);
  }
  return calls::WriteItems(buffer, size, bytes, stream);
}

// A stream's buffer is read and written by the kernel at any time. A program may not look into it, so the C library's
// own does as well.
THERMOCLINE_INTERPOSED int setvbuf(FILE* stream, char* buffer, int mode, size_t bytes) {
  return Real().setvbuf(stream, IsOwned(buffer) ? nullptr : buffer, mode, bytes);
}
THERMOCLINE_INTERPOSED void setbuffer(FILE* stream, char* buffer, size_t bytes) {
  setvbuf(stream, buffer, buffer != nullptr ? _IOFBF : _IONBF, bytes);
}
THERMOCLINE_INTERPOSED void setbuf(FILE* stream, char* buffer) { setbuffer(stream, buffer, BUFSIZ); }

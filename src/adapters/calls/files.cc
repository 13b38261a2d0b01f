// read, write and their like, in front of the C library's: buffers in the runtime's memory are resident for the call.

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "src/adapters/calls/calls.h"
#include "src/adapters/calls/real_calls.h"
#include "src/adapters/calls/resident_transfer.h"

namespace thermocline::calls {
namespace {

using runtime::IsOwned;

// The offset at which `done` bytes have been moved; -1 stays what preadv2 takes for "where the file is".
off64_t After(off64_t offset, size_t done) { return offset < 0 ? offset : offset + static_cast<off64_t>(done); }

ssize_t Read(int fd, void* buffer, size_t bytes) {
  const iovec whole = {buffer, bytes};
  return TransferResident(Way::kIn, &whole, 1, IsRegularFile(fd),
                          [fd](const iovec* v, int count, size_t) { return Real().readv(fd, v, count); });
}

ssize_t ReadAt(int fd, const iovec* vectors, int count, off64_t offset, int flags) {
  return TransferResident(Way::kIn, vectors, count, IsRegularFile(fd),
                          [fd, offset, flags](const iovec* v, int n, size_t done) {
                            return flags != 0 ? Real().preadv64v2(fd, v, n, After(offset, done), flags)
                                              : Real().preadv64(fd, v, n, After(offset, done));
                          });
}

ssize_t WriteAt(int fd, const iovec* vectors, int count, off64_t offset, int flags) {
  return TransferResident(Way::kOut, vectors, count, true, [fd, offset, flags](const iovec* v, int n, size_t done) {
    return flags != 0 ? Real().pwritev64v2(fd, v, n, After(offset, done), flags)
                      : Real().pwritev64(fd, v, n, After(offset, done));
  });
}

ssize_t ReadVectors(int fd, const iovec* vectors, int count) {
  return TransferResident(Way::kIn, vectors, count, IsRegularFile(fd),
                          [fd](const iovec* v, int n, size_t) { return Real().readv(fd, v, n); });
}

ssize_t WriteVectors(int fd, const iovec* vectors, int count) {
  return TransferResident(Way::kOut, vectors, count, true,
                          [fd](const iovec* v, int n, size_t) { return Real().writev(fd, v, n); });
}

// What the kernel refuses is left to the kernel to refuse.
bool IsOrdinary(const iovec* vectors, int count) { return vectors != nullptr && count > 0 && count <= IOV_MAX; }

// Whether a buffer must be made resident. `own`: the call comes from the runtime.
bool NeedsUs(const iovec* vectors, int count, bool own) {
  return IsOrdinary(vectors, count) && AnyIsOwned(vectors, count) && !own;
}

// For a program that is compiled with checks of its buffers' sizes, `room`.
ssize_t CheckedPread(int fd, void* buffer, size_t bytes, off64_t offset, size_t room) {
  if (!IsOwned(buffer) || offset < 0 || bytes > room) return Real().__pread64_chk(fd, buffer, bytes, offset, room);
  const iovec whole = {buffer, bytes};
  return ReadAt(fd, &whole, 1, offset, 0);
}

ssize_t PreadVectors(int fd, const iovec* vectors, int count, off64_t offset, bool own) {
  if (offset < 0 || !NeedsUs(vectors, count, own)) return Real().preadv64(fd, vectors, count, offset);
  return ReadAt(fd, vectors, count, offset, 0);
}

ssize_t PwriteVectors(int fd, const iovec* vectors, int count, off64_t offset, bool own) {
  if (offset < 0 || !NeedsUs(vectors, count, own)) return Real().pwritev64(fd, vectors, count, offset);
  return WriteAt(fd, vectors, count, offset, 0);
}

ssize_t PreadVectors2(int fd, const iovec* vectors, int count, off64_t offset, int flags, bool own) {
  if (!NeedsUs(vectors, count, own)) return Real().preadv64v2(fd, vectors, count, offset, flags);
  if (offset == -1 && flags == 0) return ReadVectors(fd, vectors, count);
  return ReadAt(fd, vectors, count, offset, flags);
}

ssize_t PwriteVectors2(int fd, const iovec* vectors, int count, off64_t offset, int flags, bool own) {
  if (!NeedsUs(vectors, count, own)) return Real().pwritev64v2(fd, vectors, count, offset, flags);
  if (offset == -1 && flags == 0) return WriteVectors(fd, vectors, count);
  return WriteAt(fd, vectors, count, offset, flags);
}

}  // namespace
}  // namespace thermocline::calls

namespace calls = thermocline::calls;
using calls::Real;
using thermocline::runtime::IsOwned;

THERMOCLINE_INTERPOSED ssize_t read(int fd, void* buffer, size_t bytes) {
  if (!IsOwned(buffer) || THERMOCLINE_FROM_RUNTIME) return Real().read(fd, buffer, bytes);
  return calls::Read(fd, buffer, bytes);
}
THERMOCLINE_INTERPOSED ssize_t __read_chk(int fd, void* buffer, size_t bytes, size_t room) {
  if (!IsOwned(buffer) || bytes > room) return Real().__read_chk(fd, buffer, bytes, room);
  return calls::Read(fd, buffer, bytes);
}
THERMOCLINE_INTERPOSED ssize_t write(int fd, const void* buffer, size_t bytes) {
  if (!IsOwned(buffer) || THERMOCLINE_FROM_RUNTIME) return Real().write(fd, buffer, bytes);
  const iovec whole = {const_cast<void*>(buffer), bytes};
  return calls::WriteVectors(fd, &whole, 1);
}
THERMOCLINE_INTERPOSED ssize_t pread64(int fd, void* buffer, size_t bytes, off64_t offset) {
  if (!IsOwned(buffer) || offset < 0 || THERMOCLINE_FROM_RUNTIME) return Real().pread64(fd, buffer, bytes, offset);
  const iovec whole = {buffer, bytes};
  return calls::ReadAt(fd, &whole, 1, offset, 0);
}
THERMOCLINE_INTERPOSED ssize_t pread(int fd, void* buffer, size_t bytes, off_t offset) {
  if (!IsOwned(buffer) || offset < 0 || THERMOCLINE_FROM_RUNTIME) return Real().pread64(fd, buffer, bytes, offset);
  const iovec whole = {buffer, bytes};
  return calls::ReadAt(fd, &whole, 1, offset, 0);
}
THERMOCLINE_INTERPOSED ssize_t __pread64_chk(int fd, void* buffer, size_t bytes, off64_t offset, size_t room) {
  return calls::CheckedPread(fd, buffer, bytes, offset, room);
}
THERMOCLINE_INTERPOSED ssize_t __pread_chk(int fd, void* buffer, size_t bytes, off_t offset, size_t room) {
  return calls::CheckedPread(fd, buffer, bytes, offset, room);
}
THERMOCLINE_INTERPOSED ssize_t pwrite64(int fd, const void* buffer, size_t bytes, off64_t offset) {
  if (!IsOwned(buffer) || offset < 0 || THERMOCLINE_FROM_RUNTIME) return Real().pwrite64(fd, buffer, bytes, offset);
  const iovec whole = {const_cast<void*>(buffer), bytes};
  return calls::WriteAt(fd, &whole, 1, offset, 0);
}
THERMOCLINE_INTERPOSED ssize_t pwrite(int fd, const void* buffer, size_t bytes, off_t offset) {
  if (!IsOwned(buffer) || offset < 0 || THERMOCLINE_FROM_RUNTIME) return Real().pwrite64(fd, buffer, bytes, offset);
  const iovec whole = {const_cast<void*>(buffer), bytes};
  return calls::WriteAt(fd, &whole, 1, offset, 0);
}
THERMOCLINE_INTERPOSED ssize_t readv(int fd, const iovec* vectors, int count) {
  if (!calls::NeedsUs(vectors, count, THERMOCLINE_FROM_RUNTIME)) return Real().readv(fd, vectors, count);
  return calls::ReadVectors(fd, vectors, count);
}
THERMOCLINE_INTERPOSED ssize_t writev(int fd, const iovec* vectors, int count) {
  if (!calls::NeedsUs(vectors, count, THERMOCLINE_FROM_RUNTIME)) return Real().writev(fd, vectors, count);
  return calls::WriteVectors(fd, vectors, count);
}
THERMOCLINE_INTERPOSED ssize_t preadv64(int fd, const iovec* vectors, int count, off64_t offset) {
  return calls::PreadVectors(fd, vectors, count, offset, THERMOCLINE_FROM_RUNTIME);
}
THERMOCLINE_INTERPOSED ssize_t preadv(int fd, const iovec* vectors, int count, off_t offset) {
  return calls::PreadVectors(fd, vectors, count, offset, THERMOCLINE_FROM_RUNTIME);
}
THERMOCLINE_INTERPOSED ssize_t pwritev64(int fd, const iovec* vectors, int count, off64_t offset) {
  return calls::PwriteVectors(fd, vectors, count, offset, THERMOCLINE_FROM_RUNTIME);
}
THERMOCLINE_INTERPOSED ssize_t pwritev(int fd, const iovec* vectors, int count, off_t offset) {
  return calls::PwriteVectors(fd, vectors, count, offset, THERMOCLINE_FROM_RUNTIME);
}
THERMOCLINE_INTERPOSED ssize_t preadv64v2(int fd, const iovec* vectors, int count, off64_t offset, int flags) {
  return calls::PreadVectors2(fd, vectors, count, offset, flags, THERMOCLINE_FROM_RUNTIME);
}
THERMOCLINE_INTERPOSED ssize_t preadv2(int fd, const iovec* vectors, int count, off_t offset, int flags) {
  return calls::PreadVectors2(fd, vectors, count, offset, flags, THERMOCLINE_FROM_RUNTIME);
}
THERMOCLINE_INTERPOSED ssize_t pwritev64v2(int fd, const iovec* vectors, int count, off64_t offset, int flags) {
  return calls::PwriteVectors2(fd, vectors, count, offset, flags, THERMOCLINE_FROM_RUNTIME);
}
THERMOCLINE_INTERPOSED ssize_t pwritev2(int fd, const iovec* vectors, int count, off_t offset, int flags) {
  return calls::PwriteVectors2(fd, vectors, count, offset, flags, THERMOCLINE_FROM_RUNTIME);
}

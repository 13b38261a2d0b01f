// FileSystem: the system calls that the file tier makes, behind an interface so that tests can fail any one of them.
//
// Thread safety: as the system calls themselves, any thread. Pread, Pwrite, SyncRange and DropCache are
// async-signal-safe in the real implementation.
// Errors: every call returns its result, or minus the errno. errno itself is left as it was.
#ifndef THERMOCLINE_TIER_FILE_SYSTEM_H_
#define THERMOCLINE_TIER_FILE_SYSTEM_H_

#include <liburing.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cstdint>
#include <string>

#include "src/tier/block_tier.h"

namespace thermocline::tier {

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual int Open(const char* path, int flags, mode_t mode) = 0;
  // mkostemp: replaces the six X at the template's end, mode 0600.
  virtual int MakeTemporary(char* path_template, int flags) = 0;
  virtual int Unlink(const char* path) = 0;
  virtual int Close(int fd) = 0;
  virtual int SetFlags(int fd, int flags) = 0;  // F_SETFL
  virtual int Fstat(int fd, struct stat* out) = 0;
  virtual int Fstatfs(int fd, struct statfs* out) = 0;
  virtual int Statfs(const char* path, struct statfs* out) = 0;
  // A whole small file of /proc or /sys; empty where it can't be read.
  virtual std::string ReadText(const char* path) = 0;
  virtual int64_t FileSizeLimit() = 0;  // RLIMIT_FSIZE, INT64_MAX when there is none

  virtual int Fallocate(int fd, int64_t offset, int64_t bytes) = 0;
  virtual int Ftruncate(int fd, int64_t bytes) = 0;
  virtual int64_t Pread(int fd, void* memory, int64_t bytes, int64_t offset) = 0;
  virtual int64_t Pwrite(int fd, const void* memory, int64_t bytes, int64_t offset) = 0;
  // Writes dirty cached pages of the range to the device and waits for them (sync_file_range).
  virtual int SyncRange(int fd, int64_t offset, int64_t bytes) = 0;
  virtual int DropCache(int fd, int64_t offset, int64_t bytes) = 0;  // POSIX_FADV_DONTNEED
  virtual int AdviseRandom(int fd) = 0;                              // POSIX_FADV_RANDOM: no read-ahead
  // How many bytes of the file's first `bytes` the page cache holds, by cachestat (Linux 6.5); -ENOSYS before.
  virtual int64_t CachedByCachestat(int fd, int64_t bytes) = 0;
  // The same by mincore, on any kernel, at about 50 ns a page.
  virtual int64_t CachedByMincore(int fd, int64_t bytes) = 0;

  virtual int EventFd() = 0;  // close-on-exec, blocking

  // Takes or drops a read lock of one byte, owned by the open file (F_OFD_SETLK). Never waits.
  virtual int ShareLock(int fd, int64_t byte, bool take) = 0;
  // A byte of [begin, end) that another open file holds a lock on (F_OFD_GETLK); -ENOENT where there is none.
  virtual int64_t OthersLock(int fd, int64_t begin, int64_t end) = 0;

  virtual int RingSetup(unsigned entries, io_uring* ring) = 0;
  virtual int RingSubmit(io_uring* ring) = 0;
  // Waits for a completion; nanos < 0: for ever. 0, -ETIME, -EINTR or another error.
  virtual int RingWait(io_uring* ring, int64_t nanos) = 0;
  // Sees the result of each completed data transfer on the ring; a test may replace it.
  virtual int RingResult(Direction direction, int result) = 0;
};

// The machine's own. Never destroyed.
FileSystem& RealFileSystem();

// "EPERM (Operation not permitted)". Takes errno or minus errno.
std::string ErrnoText(int error);

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_FILE_SYSTEM_H_

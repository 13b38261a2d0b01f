#include "src/tier/file_system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"

namespace thermocline::tier {
namespace {

// Not in Debian 12's headers.
constexpr long kCachestatNumber = 451;
struct CachestatRange {
  uint64_t offset, length;
};
struct CachestatAnswer {
  uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

// Turns a system call's result into the convention of FileSystem, and puts errno back: callers may be signal handlers.
class KeepErrno {
 public:
  KeepErrno() : saved_(errno) {}
  ~KeepErrno() { errno = saved_; }
  template <typename T>
  T Result(T result) const {
    return result < 0 ? static_cast<T>(-errno) : result;
  }

 private:
  const int saved_;
};

class RealFiles final : public FileSystem {
 public:
  int Open(const char* path, int flags, mode_t mode) override { return KeepErrno().Result(open(path, flags, mode)); }
  int MakeTemporary(char* path_template, int flags) override {
    return KeepErrno().Result(mkostemp(path_template, flags));
  }
  int Unlink(const char* path) override { return KeepErrno().Result(unlink(path)); }
  int Close(int fd) override { return KeepErrno().Result(close(fd)); }
  int SetFlags(int fd, int flags) override { return KeepErrno().Result(fcntl(fd, F_SETFL, flags)); }
  int Fstat(int fd, struct stat* out) override { return KeepErrno().Result(fstat(fd, out)); }
  int Fstatfs(int fd, struct statfs* out) override { return KeepErrno().Result(fstatfs(fd, out)); }
  int Statfs(const char* path, struct statfs* out) override { return KeepErrno().Result(statfs(path, out)); }

  std::string ReadText(const char* path) override {
    KeepErrno keep;
    std::string text;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return text;
    char buffer[4096];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof(buffer))) > 0) text.append(buffer, got);
    close(fd);
    return text;
  }

  int64_t FileSizeLimit() override {
    rlimit limit;
    constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNone;
    return static_cast<int64_t>(std::min<uint64_t>(limit.rlim_cur, kNone));
  }

  int Fallocate(int fd, int64_t offset, int64_t bytes) override {
    return KeepErrno().Result(fallocate(fd, 0, offset, bytes));
  }
  int Ftruncate(int fd, int64_t bytes) override { return KeepErrno().Result(ftruncate(fd, bytes)); }
  int64_t Pread(int fd, void* memory, int64_t bytes, int64_t offset) override {
    return KeepErrno().Result(pread(fd, memory, bytes, offset));
  }
  int64_t Pwrite(int fd, const void* memory, int64_t bytes, int64_t offset) override {
    return KeepErrno().Result(pwrite(fd, memory, bytes, offset));
  }
  int SyncRange(int fd, int64_t offset, int64_t bytes) override {
    return KeepErrno().Result(sync_file_range(
        fd, offset, bytes, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
  }
  int DropCache(int fd, int64_t offset, int64_t bytes) override {
    return -posix_fadvise(fd, offset, bytes, POSIX_FADV_DONTNEED);
  }
  int AdviseRandom(int fd) override { return -posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); }

  int64_t CachedByCachestat(int fd, int64_t bytes) override {
    KeepErrno keep;
    CachestatRange range{0, static_cast<uint64_t>(bytes)};
    CachestatAnswer answer{};
    const long result = syscall(kCachestatNumber, fd, &range, &answer, 0);
    if (result < 0) return keep.Result(int64_t{result});
    return static_cast<int64_t>(answer.cached) * sysconf(_SC_PAGESIZE);
  }

  int64_t CachedByMincore(int fd, int64_t bytes) override {
    KeepErrno keep;
    const int64_t page = sysconf(_SC_PAGESIZE);
    constexpr int64_t kWindow = int64_t{256} << 20;  // so that the vector stays small on a large file
    std::vector<unsigned char> resident(kWindow / page);
    int64_t cached = 0;
    for (int64_t offset = 0; offset < bytes; offset += kWindow) {
      const int64_t length = std::min(kWindow, bytes - offset);
      void* view = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, offset);
      if (view == MAP_FAILED) return keep.Result(int64_t{-1});
      const int result = mincore(view, length, resident.data());
      const int64_t error = keep.Result(int64_t{result});
      munmap(view, length);
      if (result != 0) return error;
      const int64_t pages = (length + page - 1) / page;
      for (int64_t i = 0; i < pages; ++i) cached += (resident[i] & 1) * page;
    }
    return cached;
  }

  int EventFd() override { return KeepErrno().Result(eventfd(0, EFD_CLOEXEC)); }

  int ShareLock(int fd, int64_t byte, bool take) override {
    struct flock lock = {};
    lock.l_type = take ? F_RDLCK : F_UNLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    return KeepErrno().Result(fcntl(fd, F_OFD_SETLK, &lock));
  }
  int64_t OthersLock(int fd, int64_t begin, int64_t end) override {
    KeepErrno keep;
    struct flock lock = {};
    lock.l_type = F_WRLCK;  // which a read lock stands in the way of
    lock.l_whence = SEEK_SET;
    lock.l_start = begin;
    lock.l_len = end - begin;
    if (const int result = fcntl(fd, F_OFD_GETLK, &lock); result < 0) return keep.Result(int64_t{result});
    return lock.l_type == F_UNLCK ? -ENOENT : std::max<int64_t>(begin, lock.l_start);
  }

  int RingSetup(unsigned entries, io_uring* ring) override {
    KeepErrno keep;
    const int result = io_uring_queue_init(entries, ring, 0);
    // A forked child must not share the rings: it reads slots through ReadSync alone.
    if (result == 0) io_uring_ring_dontfork(ring);
    return result;
  }
  int RingSubmit(io_uring* ring) override {
    KeepErrno keep;
    return io_uring_submit(ring);
  }
  int RingWait(io_uring* ring, int64_t nanos) override {
    KeepErrno keep;
    io_uring_cqe* cqe = nullptr;
    if (nanos < 0) return io_uring_wait_cqe(ring, &cqe);
    __kernel_timespec time{nanos / 1'000'000'000, nanos % 1'000'000'000};
    return io_uring_wait_cqe_timeout(ring, &cqe, &time);
  }
  int RingResult(Direction, int result) override { return result; }
};

}  // namespace

FileSystem& RealFileSystem() {
  static RealFiles* const files = new RealFiles;
  return *files;
}

std::string ErrnoText(int error) {
  const int positive = error < 0 ? -error : error;
  const char* name = strerrorname_np(positive);
  const char* words = strerrordesc_np(positive);
  if (name == nullptr) return absl::StrCat("errno ", positive);
  return absl::StrCat(name, " (", words, ")");
}

}  // namespace thermocline::tier

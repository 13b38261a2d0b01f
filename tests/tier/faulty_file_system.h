// File systems that fail: for the tests of the file tier.
#ifndef THERMOCLINE_TESTS_TIER_FAULTY_FILE_SYSTEM_H_
#define THERMOCLINE_TESTS_TIER_FAULTY_FILE_SYSTEM_H_

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "src/tier/file_system.h"

namespace thermocline::tier {

// A directory on a disk: build and temporary directories may lie in memory.
inline std::string SlowTestDirectory() {
  const char* given = std::getenv("THERMOCLINE_TEST_SLOW_DIR");
  return given != nullptr ? given : "/var/tmp";
}

// Passes every call to the one below, and asks Fault first: a non-zero answer is the call's result instead.
class FaultyFileSystem : public FileSystem {
 public:
  explicit FaultyFileSystem(FileSystem& below = RealFileSystem()) : real_(below) {}
  int Open(const char* path, int flags, mode_t mode) override {
    return Run("open", [&] { return real_.Open(path, flags, mode); });
  }
  int MakeTemporary(char* path, int flags) override {
    return Run("mkostemp", [&] { return real_.MakeTemporary(path, flags); });
  }
  int Unlink(const char* path) override {
    return Run("unlink", [&] { return real_.Unlink(path); });
  }
  // Linux closes the descriptor even where it answers an error.
  int Close(int fd) override {
    const int result = real_.Close(fd);
    return Run("close", [&] { return result; });
  }
  int SetFlags(int fd, int flags) override {
    return Run("fcntl", [&] { return real_.SetFlags(fd, flags); });
  }
  int Fstat(int fd, struct stat* out) override {
    return Run("fstat", [&] { return real_.Fstat(fd, out); });
  }
  int Fstatfs(int fd, struct statfs* out) override {
    return Run("fstatfs", [&] { return real_.Fstatfs(fd, out); });
  }
  int Statfs(const char* path, struct statfs* out) override {
    return Run("statfs", [&] { return real_.Statfs(path, out); });
  }
  std::string ReadText(const char* path) override { return Fault("read text") != 0 ? "" : real_.ReadText(path); }
  int64_t FileSizeLimit() override { return real_.FileSizeLimit(); }
  int Fallocate(int fd, int64_t offset, int64_t bytes) override {
    return Run("fallocate", [&] { return real_.Fallocate(fd, offset, bytes); });
  }
  int Ftruncate(int fd, int64_t bytes) override {
    return Run("ftruncate", [&] { return real_.Ftruncate(fd, bytes); });
  }
  int64_t Pread(int fd, void* memory, int64_t bytes, int64_t offset) override {
    return Run("pread", [&] { return real_.Pread(fd, memory, bytes, offset); });
  }
  int64_t Pwrite(int fd, const void* memory, int64_t bytes, int64_t offset) override {
    return Run("pwrite", [&] { return real_.Pwrite(fd, memory, bytes, offset); });
  }
  int SyncRange(int fd, int64_t offset, int64_t bytes) override {
    return Run("sync_file_range", [&] { return real_.SyncRange(fd, offset, bytes); });
  }
  int DropCache(int fd, int64_t offset, int64_t bytes) override {
    return Run("posix_fadvise", [&] { return real_.DropCache(fd, offset, bytes); });
  }
  int AdviseRandom(int fd) override {
    return Run("posix_fadvise", [&] { return real_.AdviseRandom(fd); });
  }
  int64_t CachedByCachestat(int fd, int64_t bytes) override {
    return Run("cachestat", [&] { return real_.CachedByCachestat(fd, bytes); });
  }
  int64_t CachedByMincore(int fd, int64_t bytes) override {
    return Run("mincore", [&] { return real_.CachedByMincore(fd, bytes); });
  }
  int EventFd() override {
    return Run("eventfd", [&] { return real_.EventFd(); });
  }
  int ShareLock(int fd, int64_t byte, bool take) override {
    return Run("lock", [&] { return real_.ShareLock(fd, byte, take); });
  }
  int64_t OthersLock(int fd, int64_t begin, int64_t end) override {
    return Run("others' lock", [&] { return real_.OthersLock(fd, begin, end); });
  }
  int RingSetup(unsigned entries, io_uring* ring) override {
    return Run("io_uring_setup", [&] { return real_.RingSetup(entries, ring); });
  }
  int RingSubmit(io_uring* ring) override {
    return Run("io_uring_enter", [&] { return real_.RingSubmit(ring); });
  }
  int RingWait(io_uring* ring, int64_t nanos) override {
    return Run("io_uring_enter to wait", [&] { return real_.RingWait(ring, nanos); });
  }
  int RingResult(Direction direction, int result) override {
    const int64_t fault = Fault(direction == Direction::kIn ? "ring read" : "ring write");
    return fault != 0 ? static_cast<int>(fault) : result;
  }

 protected:
  virtual int64_t Fault(const char* /*call*/) { return 0; }
  FileSystem& real_;

 private:
  template <typename Call>
  auto Run(const char* name, Call call) -> decltype(call()) {
    const int64_t fault = Fault(name);
    return fault != 0 ? static_cast<decltype(call())>(fault) : call();
  }
};

// Fails the calls of one name, from the one counted `from` up to that before `to`.
class FailCall : public FaultyFileSystem {
 public:
  FailCall(std::string name, int error, int from = 0, int to = 1 << 30, FileSystem& below = RealFileSystem())
      : FaultyFileSystem(below), name_(std::move(name)), error_(error), from_(from), to_(to) {}
  bool reached() const { return calls_ > from_; }

 protected:
  int64_t Fault(const char* call) override {
    if (name_ != call) return 0;
    const int count = calls_.fetch_add(1);
    return count >= from_ && count < to_ ? -error_ : 0;
  }

 private:
  const std::string name_;
  const int error_, from_, to_;
  std::atomic<int> calls_{0};
};

// A directory whose file system refuses O_DIRECT.
class NoDirectFileSystem : public FaultyFileSystem {
 public:
  int Open(const char* path, int flags, mode_t mode) override {
    return flags & O_DIRECT ? -EINVAL : real_.Open(path, flags, mode);
  }
  // As Linux: the file is made, then the flag is found to be wrong.
  int MakeTemporary(char* path, int flags) override {
    const int fd = real_.MakeTemporary(path, flags & ~O_DIRECT);
    if (fd < 0 || (flags & O_DIRECT) == 0) return fd;
    real_.Close(fd);
    return -EINVAL;
  }
  int SetFlags(int fd, int flags) override { return flags & O_DIRECT ? -EINVAL : real_.SetFlags(fd, flags); }
};

// What a machine may refuse for good, each of which the file tier has another way around.
struct Refusals {
  const char* name = "Healthy";
  bool unnamed = false;  // O_TMPFILE
  bool direct = false;   // O_DIRECT, by whatever asks for it
  bool aligned = false;  // O_DIRECT, by the first transfer only
  bool fallocate = false;
  bool cachestat = false;
  bool ring = false;     // a ring there is, but an old one
  bool overlay = false;  // the directory lies on an overlay
};

class RefusingFileSystem : public NoDirectFileSystem {
 public:
  explicit RefusingFileSystem(const Refusals& refusals) : refusals_(refusals) {}

  int Open(const char* path, int flags, mode_t mode) override {
    if (refusals_.unnamed && (flags & O_TMPFILE) == O_TMPFILE) return -EOPNOTSUPP;
    return refusals_.direct ? NoDirectFileSystem::Open(path, flags, mode) : real_.Open(path, flags, mode);
  }
  int MakeTemporary(char* path, int flags) override {
    return refusals_.direct ? NoDirectFileSystem::MakeTemporary(path, flags) : real_.MakeTemporary(path, flags);
  }
  int SetFlags(int fd, int flags) override {
    if (flags == 0) buffered_ = true;
    return refusals_.direct ? NoDirectFileSystem::SetFlags(fd, flags) : real_.SetFlags(fd, flags);
  }
  int64_t Pwrite(int fd, const void* memory, int64_t bytes, int64_t offset) override {
    return refusals_.aligned && !buffered_ ? -EINVAL : real_.Pwrite(fd, memory, bytes, offset);
  }
  int Fallocate(int fd, int64_t offset, int64_t bytes) override {
    return refusals_.fallocate ? -EOPNOTSUPP : real_.Fallocate(fd, offset, bytes);
  }
  int64_t CachedByCachestat(int fd, int64_t bytes) override {
    return refusals_.cachestat ? -ENOSYS : real_.CachedByCachestat(fd, bytes);
  }
  int RingSetup(unsigned entries, io_uring* ring) override {
    const int result = real_.RingSetup(entries, ring);
    if (result == 0 && refusals_.ring) ring->features &= ~unsigned{IORING_FEAT_EXT_ARG};
    return result;
  }
  int Fstatfs(int fd, struct statfs* out) override {
    const int result = real_.Fstatfs(fd, out);
    if (refusals_.overlay) out->f_type = 0x794c7630;
    return result;
  }
  std::string ReadText(const char* path) override {
    if (!refusals_.overlay || std::string(path) != "/proc/self/mountinfo") return real_.ReadText(path);
    return "22 1 0:20 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/var/tmp,workdir=/w\n";
  }

 private:
  const Refusals refusals_;
  bool buffered_ = false;
};

// As that, and what is written to the first `kept_bytes` of a file stays in the page cache.
class KeepsCacheFileSystem : public NoDirectFileSystem {
 public:
  explicit KeepsCacheFileSystem(int64_t kept_bytes, bool has_cachestat = true)
      : kept_bytes_(kept_bytes), has_cachestat_(has_cachestat) {}
  int DropCache(int fd, int64_t offset, int64_t bytes) override {
    return offset < kept_bytes_ ? 0 : real_.DropCache(fd, offset, bytes);
  }
  int64_t CachedByCachestat(int fd, int64_t bytes) override {
    return has_cachestat_ ? real_.CachedByCachestat(fd, bytes) : -ENOSYS;
  }

 private:
  const int64_t kept_bytes_;
  const bool has_cachestat_;
};

// Now and then moves only a part, or is interrupted.
class ShortTransfersFileSystem : public FaultyFileSystem {
 public:
  int64_t Pread(int fd, void* memory, int64_t bytes, int64_t offset) override {
    if (Turn() == 1) return -EINTR;
    return real_.Pread(fd, memory, Part(bytes), offset);
  }
  int64_t Pwrite(int fd, const void* memory, int64_t bytes, int64_t offset) override {
    if (Turn() == 1) return -EAGAIN;
    return real_.Pwrite(fd, memory, Part(bytes), offset);
  }
  int RingResult(Direction, int result) override {
    if (Turn() == 1) return -EAGAIN;
    return result > 0 ? static_cast<int>(Part(result)) : result;
  }

 private:
  int Turn() { return turn_.fetch_add(1) % 5; }
  int64_t Part(int64_t bytes) { return Turn() == 0 && bytes > 4096 ? bytes / 2 / 4096 * 4096 : bytes; }
  std::atomic<int> turn_{0};
};

// io_uring works at first, until a filter forbids it: from then on no call on the ring gets through.
class LateRefusalFileSystem : public FaultyFileSystem {
 public:
  int RingSetup(unsigned entries, io_uring* ring) override {
    submits_ = 0;
    return real_.RingSetup(entries, ring);
  }
  int RingSubmit(io_uring* ring) override { return submits_++ < 3 ? real_.RingSubmit(ring) : -EPERM; }
  int RingWait(io_uring* ring, int64_t nanos) override { return submits_ < 3 ? real_.RingWait(ring, nanos) : -EPERM; }

 private:
  int submits_ = 0;
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TESTS_TIER_FAULTY_FILE_SYSTEM_H_

#include "src/tier/slow_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/tier/backing.h"
#include "src/tier/io_engine.h"

namespace thermocline::tier {
namespace {

constexpr int64_t kBlock = 4096;
constexpr absl::string_view kAdvice = "; give a directory on a disk that you may write to, such as file:/var/tmp";

absl::Status Failed(absl::string_view call, const std::string& directory, int error) {
  const std::string message =
      absl::StrCat("slow directory ", directory, ": ", call, " answered ", ErrnoText(error), kAdvice);
  switch (error < 0 ? -error : error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

// A file with a name for a moment: where O_TMPFILE is not supported. No signal may end the process in that moment.
absl::StatusOr<int> OpenNamed(const std::string& directory, int flags, FileSystem& files) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto restore = absl::MakeCleanup([&before] { pthread_sigmask(SIG_SETMASK, &before, nullptr); });
  std::string path = absl::StrCat(directory, "/thermocline-XXXXXX");
  const int fd = files.MakeTemporary(path.data(), flags);
  if (fd < 0) return fd;
  int result = files.Unlink(path.c_str());
  if (result < 0) result = files.Unlink(path.c_str());
  if (result < 0) {
    files.Close(fd);
    return Failed(absl::StrCat("unlink(", path, "), which is left behind,"), directory, result);
  }
  return fd;
}

// An unnamed file, with O_DIRECT where it is accepted. *direct says so.
absl::StatusOr<int> OpenUnnamed(const std::string& directory, FileSystem& files, std::vector<ProbeRecord>* probes,
                                bool* direct) {
  for (const int extra : {O_DIRECT, 0}) {
    *direct = extra != 0;
    const int fd = files.Open(directory.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC | extra, 0600);
    probes->push_back({absl::StrCat("open(", directory, ", O_TMPFILE, ", *direct ? "" : "no ", "O_DIRECT)"),
                       fd < 0 ? ErrnoText(fd) : "ok", ""});
    if (fd >= 0) return fd;
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES || fd == -EROFS) return Failed("open", directory, fd);
    probes->back().fallback = "a named file, unlinked at once";
    if (fd != -EINVAL) break;
    if (*direct) probes->back().fallback = "the same through the page cache";
  }
  absl::StatusOr<int> fd = OpenNamed(directory, O_CLOEXEC, files);
  if (!fd.ok()) return fd;
  probes->push_back({absl::StrCat("mkostemp(", directory, ")"), *fd < 0 ? ErrnoText(*fd) : "ok", ""});
  if (*fd < 0) return Failed("mkostemp", directory, *fd);
  // Not as a flag of mkostemp: where O_DIRECT isn't supported, that fails after it has made the file, and leaves it.
  const int result = files.SetFlags(*fd, O_DIRECT);
  *direct = result >= 0;
  probes->push_back({"fcntl(F_SETFL, O_DIRECT)", *direct ? "ok" : ErrnoText(result),
                     *direct ? "" : "through the page cache, each transfer written back and dropped"});
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SlowFile>> SlowFile::Create(const std::string& directory, FileSystem& files) {
  if (directory.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the slow directory is an empty path", kAdvice));
  }
  std::vector<ProbeRecord> probes;
  bool direct = true;
  absl::StatusOr<int> fd = OpenUnnamed(directory, files, &probes, &direct);
  if (!fd.ok()) return fd.status();
  std::unique_ptr<SlowFile> file(new SlowFile(files, *fd));
  file->direct_ = direct;
  file->probes_ = std::move(probes);
  if (absl::Status status = file->CheckBacking(directory); !status.ok()) return status;
  if (absl::Status status = file->ProbeDirect(directory); !status.ok()) return status;
  return file;
}

SlowFile::~SlowFile() { files_.Close(fd_); }

absl::Status SlowFile::CheckBacking(const std::string& directory) {
  Backing backing;
  char resolved[PATH_MAX];
  const char* real = realpath(directory.c_str(), resolved);
  if (const int result = FindBacking(files_, fd_, real != nullptr ? real : directory, &backing); result < 0) {
    return Failed("fstatfs", directory, result);
  }
  std::string answer = backing.kind;
  if (!backing.unknown.empty()) absl::StrAppend(&answer, "; ", backing.unknown);
  if (!backing.in_memory.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("slow directory ", directory, " is in memory (", backing.in_memory,
                     "), so bytes moved there would still be in fast memory", kAdvice));
  }
  probes_.push_back({absl::StrCat("fstatfs(", directory, ")"), answer, ""});
  return absl::OkStatus();
}

// An open with O_DIRECT may succeed where the transfers don't.
absl::Status SlowFile::ProbeDirect(const std::string& directory) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kBlock, kBlock) != 0) return absl::ResourceExhaustedError("no memory for one page");
  auto release = absl::MakeCleanup([memory] { free(memory); });
  std::fill_n(static_cast<char*>(memory), kBlock, 0x5a);
  if (files_.FileSizeLimit() < kBlock) {  // the kernel would end the process with SIGXFSZ
    return absl::FailedPreconditionError(absl::StrCat("slow directory ", directory,
                                                      ": this process may write no file of 4 KiB; raise its limit on "
                                                      "the size of files (ulimit -f)"));
  }
  for (;;) {
    IoRequest request{0, Direction::kOut, 0, static_cast<char*>(memory), kBlock};
    int error = TransferNow(files_, fd_, request, !direct_);
    request.direction = Direction::kIn;
    if (error == 0) error = TransferNow(files_, fd_, request, !direct_);
    probes_.push_back({absl::StrCat("write and read 4 KiB", direct_ ? " with O_DIRECT" : " through the page cache"),
                       error == 0 ? "ok" : ErrnoText(error), ""});
    if (error == 0) break;
    if (!direct_ || (error != EINVAL && error != EOPNOTSUPP)) return Failed("a first write and read", directory, error);
    probes_.back().fallback = "through the page cache, each transfer written back and dropped";
    direct_ = false;
    if (const int result = files_.SetFlags(fd_, 0); result < 0) return Failed("fcntl(F_SETFL)", directory, result);
  }
  if (!direct_) files_.AdviseRandom(fd_);  // read-ahead would fill the cache; refused: what it fills is counted
  const int64_t cached = files_.CachedByCachestat(fd_, kBlock);
  cachestat_ = cached >= 0;
  const std::string answer = cached >= 0 ? "ok" : ErrnoText(static_cast<int>(cached));
  probes_.push_back({"cachestat", answer, cached >= 0 ? "" : "mincore"});
  return absl::OkStatus();
}

int SlowFile::Grow(Bytes more) {
  const int64_t old_size = size_.load(std::memory_order_relaxed);
  int result = -EOPNOTSUPP;
  while (!sparse_ && (result = files_.Fallocate(fd_, old_size, more.count())) == -EINTR) {
  }
  if (result == -EOPNOTSUPP || result == -ENOSYS) {
    sparse_ = true;
    result = files_.Ftruncate(fd_, old_size + more.count());
  }
  if (result < 0) return -result;
  size_.store(old_size + more.count(), std::memory_order_relaxed);
  return 0;
}

Bytes SlowFile::FreeOnDisk() const {
  struct statfs info;
  if (files_.Fstatfs(fd_, &info) < 0) return Bytes(0);
  return Bytes(static_cast<int64_t>(info.f_bavail) * info.f_bsize);
}

Bytes SlowFile::Cached() const {
  const int64_t bytes = size_.load(std::memory_order_relaxed);
  // While another thread counts, the last count: that thread may have been lost in a fork.
  const std::unique_lock<std::mutex> lock(cached_mutex_, std::try_to_lock);
  const int64_t start = MonotonicClock().NowNanos();
  const auto last = [this] { return Bytes(cached_.load(std::memory_order_relaxed)); };
  if (!lock.owns_lock() || bytes == 0 || start < count_again_nanos_) return last();
  int64_t cached = -ENOSYS;
  if (cachestat_) cached = files_.CachedByCachestat(fd_, bytes);
  if (cached < 0) cached = files_.CachedByMincore(fd_, bytes);
  if (cached >= 0) cached_.store(cached, std::memory_order_relaxed);
  const int64_t end = MonotonicClock().NowNanos();
  count_again_nanos_ = end + (direct_ && !cachestat_ ? 1000 : 20) * (end - start);
  return last();
}

}  // namespace thermocline::tier

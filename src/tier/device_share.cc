#include "src/tier/device_share.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"

namespace thermocline::tier {
namespace {

constexpr int64_t kBytes = int64_t{1} << 40;  // so many that two tiers never choose the same
constexpr int kMostParents = 64;

int64_t RandomByte() {
  std::random_device random;
  return ((int64_t{random()} << 32 | random()) & (kBytes - 1));
}

}  // namespace

DeviceShare::DeviceShare(FileSystem& files) : files_(files), byte_(RandomByte()) {}

std::unique_ptr<DeviceShare> DeviceShare::Join(const std::string& directory, FileSystem& files) {
  std::unique_ptr<DeviceShare> share(new DeviceShare(files));
  share->Open(directory);
  return share;
}

DeviceShare::~DeviceShare() {
  if (fd_ >= 0) files_.Close(fd_);
}

void DeviceShare::Open(const std::string& directory) {
  std::string path = directory;
  struct stat kept {};
  int error = 0;
  for (int i = 0; i < kMostParents; ++i, path += "/..") {
    const int fd = files_.Open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    struct stat info {};
    const int result = fd < 0 ? fd : files_.Fstat(fd, &info);
    const bool same_disk = fd_ < 0 || info.st_dev == kept.st_dev;
    const bool top = fd_ >= 0 && info.st_ino == kept.st_ino;
    if (result < 0 || !same_disk || top) {
      error = result;
      if (fd >= 0) files_.Close(fd);
      break;
    }
    if (fd_ >= 0) files_.Close(fd_);
    fd_ = fd;
    kept = info;
  }
  if (fd_ >= 0) {
    error = files_.ShareLock(fd_, byte_, true);
    if (error == 0) error = files_.ShareLock(fd_, byte_, false);
  }
  probe_ = {absl::StrCat("a lock to share the disk of ", directory, " with other processes"),
            error < 0 ? ErrnoText(error) : "ok", error < 0 ? "each process takes all it can get of the disk" : ""};
  if (error < 0 && fd_ >= 0) {
    files_.Close(fd_);
    fd_ = -1;
  }
}

void DeviceShare::Use(int64_t now_nanos) {
  if (fd_ < 0) return;
  if (!in_use_) in_use_ = files_.ShareLock(fd_, byte_, true) == 0;
  if (now_nanos < count_again_nanos_) return;
  count_again_nanos_ = now_nanos + kCountNanos;
  int count = 0;
  CountOthers(0, kBytes, &count);
  others_.store(count, std::memory_order_relaxed);
}

void DeviceShare::Leave() {
  if (!in_use_) return;
  files_.ShareLock(fd_, byte_, false);
  in_use_ = false;
  others_.store(0, std::memory_order_relaxed);
  count_again_nanos_ = 0;
}

// The kernel names one lock of a range, not the first: what lies on either side of it is asked for by itself.
void DeviceShare::CountOthers(int64_t begin, int64_t end, int* count) {
  if (begin >= end || *count >= kSharedDepth) return;  // more change nothing
  const int64_t byte = files_.OthersLock(fd_, begin, end);
  if (byte < begin || byte >= end) return;
  ++*count;
  CountOthers(begin, byte, count);
  CountOthers(byte + 1, end, count);
}

int DeviceShare::Depth(int depth) const {
  const int others = others_.load(std::memory_order_relaxed);
  return others == 0 ? depth : std::min(depth, std::max(kLeastDepth, kSharedDepth / (1 + others)));
}

}  // namespace thermocline::tier

#include "src/tier/numa_system.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "src/tier/file_system.h"

namespace thermocline::tier {
namespace {

constexpr unsigned kStrict = 1;                  // MPOL_MF_STRICT
constexpr unsigned kMoveOwn = 1u << 1;           // MPOL_MF_MOVE
constexpr unsigned long kNodeAtAddress = 1 | 2;  // MPOL_F_NODE | MPOL_F_ADDR
constexpr int kPolicyBits = 0xFF;                // the rest is MPOL_MODE_FLAGS
constexpr int kMostNodes = 1024;                 // what the largest kernel has: with less room get_mempolicy refuses
constexpr int kPopulateWrite = 23;               // MADV_POPULATE_WRITE, not in Debian 12's headers

// A call's result in the convention of NumaSystem; errno as before.
template <typename Call>
int Answer(Call call) {
  const int saved = errno;
  const auto result = call();
  const int answer = result < 0 ? -errno : static_cast<int>(result);
  errno = saved;
  return answer;
}

// Writes to each page what it holds, which takes it.
void TouchAll(char* at, int64_t bytes) {
  for (int64_t offset = 0; offset < bytes; offset += 4096) {
    auto* const word = reinterpret_cast<volatile char*>(at + offset);
    *word = *word;
  }
}

// By way of a pipe, where process_vm_readv is forbidden: write also answers EFAULT.
int CopyThroughPipe(char* to, const char* from, int64_t bytes) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
  constexpr int64_t kPiece = 65536;  // what a pipe holds: the write never waits for the read
  int error = 0;
  for (int64_t done = 0; done < bytes && error == 0;) {
    const ssize_t written = write(ends[1], from + done, std::min(kPiece, bytes - done));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) error = written < 0 ? -errno : -EIO;
    for (ssize_t got = 0; got < written && error == 0;) {
      const ssize_t part = read(ends[0], to + done + got, written - got);
      if (part > 0)
        got += part;
      else if (part == 0 || errno != EINTR)
        error = part < 0 ? -errno : -EIO;
    }
    done += std::max<ssize_t>(written, 0);
  }
  close(ends[0]);
  close(ends[1]);
  return error;
}

class RealNuma final : public NumaSystem {
 public:
  char* Map(int64_t bytes, int* error) override {
    const int saved = errno;
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *error = at == MAP_FAILED ? errno : 0;
    errno = saved;
    return at == MAP_FAILED ? nullptr : static_cast<char*>(at);
  }
  int Unmap(char* at, int64_t bytes) override {
    return Answer([&] { return munmap(at, bytes); });
  }
  int AdviseHugePages(char* at, int64_t bytes, bool wanted) override {
    return Answer([&] { return madvise(at, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); });
  }
  int Populate(char* at, int64_t bytes) override {
    const int answer = Answer([&] { return madvise(at, bytes, kPopulateWrite); });
    if (answer != -EINVAL) return answer;
    TouchAll(at, bytes);
    return 0;
  }
  int Discard(char* at, int64_t bytes) override {
    return Answer([&] { return madvise(at, bytes, MADV_DONTNEED); });
  }
  int Bind(char* at, int64_t bytes, MemoryPolicy policy, int node, bool check) override {
    std::vector<unsigned long> mask(static_cast<size_t>(node) / 64 + 1, 0);
    mask.back() = 1UL << (node % 64);
    // The kernel reads one bit less than it is told.
    return Answer([&] {
      return syscall(SYS_mbind, at, bytes, static_cast<int>(policy), mask.data(), mask.size() * 64 + 1,
                     check ? kStrict : 0);
    });
  }
  int MovePages(absl::Span<void* const> pages, int node, absl::Span<int> status) override {
    const std::vector<int> nodes(node < 0 ? 0 : pages.size(), node);
    return Answer([&] {
      return syscall(SYS_move_pages, 0, pages.size(), pages.data(), node < 0 ? nullptr : nodes.data(), status.data(),
                     kMoveOwn);
    });
  }
  int NodeOf(void* at) override {
    int node = -1;
    const int answer = Answer([&] { return syscall(SYS_get_mempolicy, &node, nullptr, 0, at, kNodeAtAddress); });
    return answer < 0 ? answer : node;
  }
  int Policy(MemoryPolicy* policy, uint64_t* nodes) override {
    int mode = 0;
    std::array<unsigned long, kMostNodes / 64> mask{};
    const int answer = Answer([&] { return syscall(SYS_get_mempolicy, &mode, mask.data(), kMostNodes, nullptr, 0); });
    *policy = static_cast<MemoryPolicy>(mode & kPolicyBits);
    *nodes = mask[0];
    return answer;
  }
  int CopyFrom(void* to, const void* from, int64_t bytes) override {
    const int saved = errno;
    const iovec local{to, static_cast<size_t>(bytes)};
    const iovec remote{const_cast<void*>(from), static_cast<size_t>(bytes)};
    const ssize_t copied = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    int answer = copied == bytes ? 0 : copied < 0 ? -errno : -EFAULT;
    if (answer == -EPERM || answer == -ENOSYS || answer == -EACCES) {
      answer = CopyThroughPipe(static_cast<char*>(to), static_cast<const char*>(from), bytes);
    }
    errno = saved;
    return answer;
  }
  std::string ReadText(const char* path) override { return RealFileSystem().ReadText(path); }
  int EventFd() override { return RealFileSystem().EventFd(); }
};

}  // namespace

NumaSystem& RealNumaSystem() {
  static RealNuma* const system = new RealNuma;
  return *system;
}

}  // namespace thermocline::tier

// What the tests of the kernel's accesses share: a runtime of tensors six times its budget, patterns in files, and raw
// system calls on whole tensors.
//
// Thread safety: a House's functions from any thread, a tensor from one at a time.
#ifndef THERMOCLINE_TESTS_RUNTIME_KERNEL_ACCESS_FIXTURE_H_
#define THERMOCLINE_TESTS_RUNTIME_KERNEL_ACCESS_FIXTURE_H_

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/os/userfaultfd.h"
#include "src/runtime/runtime.h"
#include "src/tier/tier_spec.h"

namespace thermocline::runtime {

inline constexpr Bytes kGranule = KiB(64);
inline constexpr Bytes kTensor = KiB(256);
inline constexpr int kTensors = 24;  // six times the budget of 16 granules
inline constexpr size_t kBytes = 256 * 1024;

inline constexpr char kOneOf[] =
    ": root, CAP_SYS_PTRACE, vm.unprivileged_userfaultfd=1 or access to /dev/userfaultfd. The system said: ";

inline bool KernelMoves() {
  const auto features = os::Userfaultfd::SupportedFeatures(os::FaultScope::kUserFaults);
  return features.ok() && (*features & os::userfault_feature::kMove) != 0;
}

inline Settings MakeSettings(const std::string& kernel_faults, bool held_frames = true) {
  Settings settings;
  settings.fast = kGranule * 16;
  settings.granule_bytes = kGranule;
  settings.slow_text = "emulated:in=4GB/s,out=4GB/s,latency=10us,capacity=64MiB";
  settings.slow = *tier::ParseTierSpec(settings.slow_text);
  settings.planner = "lru";
  settings.kernel_faults = kernel_faults;
  settings.held_frames = held_frames;
  return settings;
}

inline char ByteOf(int tensor, size_t at) { return static_cast<char>('A' + tensor + at / 4096 * 7); }

// A runtime of 24 tensors in the room of four, each with bytes of its own.
struct House {
  explicit House(const Settings& settings) {
    auto made = Runtime::Create(settings);
    status = made.status();
    if (!made.ok()) return;
    runtime = *std::move(made);
    for (int i = 0; i < kTensors; ++i) {
      tensors.push_back(static_cast<char*>(runtime->Allocate(kTensor, Bytes(64))));
      Fill(i);
    }
  }
  void Fill(int i) {
    for (size_t at = 0; at < kBytes; ++at) tensors[i][at] = ByteOf(i, at);
  }
  bool Holds(int i, int like) const {
    for (size_t at = 0; at < kBytes; ++at) {
      if (tensors[i][at] != ByteOf(like, at)) return false;
    }
    return true;
  }
  bool Holds(int i) const { return Holds(i, i); }
  // Reads all others, so that this one is in the slow tier, unless it can't leave.
  void Displace(int i) {
    for (int round = 0; round < 2; ++round) {
      for (int j = 0; j < kTensors; ++j) {
        EXPECT_TRUE(j == i || Holds(j)) << j;
      }
    }
  }

  absl::Status status;
  std::unique_ptr<Runtime> runtime;
  std::vector<char*> tensors;
};

inline std::string Pattern(int like) {
  std::string bytes(kBytes, ' ');
  for (size_t at = 0; at < kBytes; ++at) bytes[at] = ByteOf(like, at);
  return bytes;
}

// A file without a name that holds a pattern.
class PatternFile {
 public:
  explicit PatternFile(int like = -1, int flags = 0) {
    char name[] = "/var/tmp/thermocline-test-XXXXXX";
    descriptor_ = mkostemp(name, 0);
    if (like >= 0) {
      const std::string bytes = Pattern(like);
      EXPECT_EQ(pwrite(descriptor_, bytes.data(), kBytes, 0), static_cast<ssize_t>(kBytes));
      fsync(descriptor_);
    }
    if (flags != 0) {
      const int other = open(name, O_RDWR | flags);
      if (other >= 0) close(std::exchange(descriptor_, other));
    }
    unlink(name);
  }
  ~PatternFile() { close(descriptor_); }
  int descriptor() const { return descriptor_; }
  bool Holds(int like) const {
    std::string bytes(kBytes, ' ');
    return pread(descriptor_, bytes.data(), kBytes, 0) == static_cast<ssize_t>(kBytes) && bytes == Pattern(like);
  }

 private:
  int descriptor_;
};

enum class Call { kRead, kPreadv, kUringRead, kDirectRead, kWrite, kUringWrite };
inline constexpr Call kReads[] = {Call::kRead, Call::kPreadv, Call::kUringRead, Call::kDirectRead};
inline constexpr Call kWrites[] = {Call::kWrite, Call::kUringWrite};

inline long ByUring(bool reads, int descriptor, char* buffer) {
  io_uring ring;
  if (const int error = io_uring_queue_init(4, &ring, 0); error < 0) return error;
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring);
  if (reads) {
    io_uring_prep_read(sqe, descriptor, buffer, kBytes, 0);
  } else {
    io_uring_prep_write(sqe, descriptor, buffer, kBytes, 0);
  }
  io_uring_submit_and_wait(&ring, 1);
  io_uring_cqe* cqe = nullptr;
  io_uring_wait_cqe(&ring, &cqe);
  const long result = cqe->res;
  io_uring_queue_exit(&ring);
  return result;
}

// The call on the whole tensor, by no function that could be interposed; bytes done, or minus an errno.
inline long Make(Call call, int descriptor, char* buffer) {
  const iovec part = {buffer, kBytes};
  long result = 0;
  switch (call) {
    case Call::kRead:
    case Call::kDirectRead:
      result = syscall(SYS_read, descriptor, buffer, kBytes);
      break;
    case Call::kPreadv:
      result = syscall(SYS_preadv, descriptor, &part, 1, 0, 0);
      break;
    case Call::kWrite:
      result = syscall(SYS_write, descriptor, buffer, kBytes);
      break;
    case Call::kUringRead:
    case Call::kUringWrite:
      return ByUring(call == Call::kUringRead, descriptor, buffer);
  }
  return result < 0 ? -errno : result;
}

#define HOUSE_OR_SKIP(house, ...)                                                          \
  House house(__VA_ARGS__);                                                                \
  if (house.runtime == nullptr && !absl::IsInvalidArgument(house.status)) {                \
    GTEST_SKIP() << "needs userfaultfd for the kernel's faults" << kOneOf << house.status; \
  }                                                                                        \
  ASSERT_TRUE(house.status.ok()) << house.status

// Granules of huge pages.
inline void ExchangeHugeGranules(const std::string& kernel_faults) {
  Settings settings = MakeSettings(kernel_faults);
  settings.granule_bytes = MiB(2);
  settings.fast = MiB(16);
  settings.slow_text = "emulated:in=8GB/s,out=8GB/s,latency=10us,capacity=256MiB";
  settings.slow = *tier::ParseTierSpec(settings.slow_text);
  auto made = Runtime::Create(settings);
  if (!made.ok()) GTEST_SKIP() << "needs userfaultfd for the kernel's faults" << kOneOf << made.status();
  Runtime& runtime = **made;
  constexpr int kLarge = 8;
  constexpr int64_t kWords = MiB(4).count() / 8;
  std::vector<int64_t*> tensors;
  const auto fill = [&](int i) {
    for (int64_t at = 0; at < kWords; ++at) tensors[i][at] = at * 31 + i;
  };
  const auto holds = [&](int i) {
    for (int64_t at = 0; at < kWords; ++at) {
      if (tensors[i][at] != at * 31 + i) return false;
    }
    return true;
  };
  for (int i = 0; i < kLarge; ++i) {
    tensors.push_back(static_cast<int64_t*>(runtime.Allocate(MiB(4), Bytes(64))));
    fill(i);
  }
  const PatternFile file(5);
  const std::string pattern = Pattern(5);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kLarge; ++i) {
      ASSERT_TRUE(holds(i)) << i;
      if (kernel_faults == "on") {
        ASSERT_EQ(syscall(SYS_pread64, file.descriptor(), tensors[i], kBytes, 0), static_cast<long>(kBytes));
        ASSERT_EQ(std::memcmp(tensors[i], pattern.data(), kBytes), 0);
      }
      if (round != 1 || kernel_faults == "on") fill(i);
    }
  }
  EXPECT_EQ(runtime.Stats().residency.io_errors, 0);
}

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_TESTS_RUNTIME_KERNEL_ACCESS_FIXTURE_H_

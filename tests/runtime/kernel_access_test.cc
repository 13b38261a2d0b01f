// Raw system calls on tensors in the slow tier, and buffers that the kernel holds while their tensors are due to leave.
// With kernel faults a call waits for the bytes; without, it fails with EFAULT or stops short: never wrong bytes.
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
namespace {

constexpr Bytes kGranule = KiB(64);
constexpr Bytes kTensor = KiB(256);
constexpr int kTensors = 24;  // six times the budget of 16 granules
constexpr size_t kBytes = 256 * 1024;

constexpr char kOneOf[] =
    ": root, CAP_SYS_PTRACE, vm.unprivileged_userfaultfd=1 or access to /dev/userfaultfd. The system said: ";

bool KernelMoves() {
  const auto features = os::Userfaultfd::SupportedFeatures(os::FaultScope::kUserFaults);
  return features.ok() && (*features & os::userfault_feature::kMove) != 0;
}

Settings MakeSettings(const std::string& kernel_faults, bool held_frames = true) {
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

char ByteOf(int tensor, size_t at) { return static_cast<char>('A' + tensor + at / 4096 * 7); }

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

std::string Pattern(int like) {
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
constexpr Call kReads[] = {Call::kRead, Call::kPreadv, Call::kUringRead, Call::kDirectRead};
constexpr Call kWrites[] = {Call::kWrite, Call::kUringWrite};

long ByUring(bool reads, int descriptor, char* buffer) {
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
long Make(Call call, int descriptor, char* buffer) {
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

#define HOUSE_OR_SKIP(house, ...)                                                                  \
  House house(__VA_ARGS__);                                                                        \
  if (house.runtime == nullptr && !absl::IsInvalidArgument(house.status)) {                        \
    GTEST_SKIP() << "needs userfaultfd for the kernel's faults" << kOneOf << house.status;         \
  }                                                                                                \
  ASSERT_TRUE(house.status.ok()) << house.status

// With frames that go by UFFDIO_MOVE where the kernel has it, and as on kernels before 6.8.
class KernelFaults : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Ways, KernelFaults, ::testing::Bool(),
                         [](const auto& tested) { return tested.param ? "FramesMove" : "AsBefore68"; });

TEST_P(KernelFaults, ARawReadIntoATensorThatIsAwayWaitsForIt) {
  HOUSE_OR_SKIP(house, MakeSettings("on", GetParam()));
  for (Call call : kReads) {
    if (call == Call::kDirectRead && !(GetParam() && KernelMoves())) continue;  // held pages: to be pinned then
    for (int i = 0; i < kTensors; ++i) {
      const int like = (i + 5) % kTensors;
      const PatternFile file(like, call == Call::kDirectRead ? O_DIRECT : 0);
      ASSERT_EQ(Make(call, file.descriptor(), house.tensors[i]), static_cast<long>(kBytes)) << i;
      ASSERT_TRUE(house.Holds(i, like)) << i;
      house.Fill(i);
    }
    for (int i = 0; i < kTensors; ++i) ASSERT_TRUE(house.Holds(i)) << i;
  }
  EXPECT_GT(house.runtime->Stats().residency.kernel_faults, 0);
}

TEST_P(KernelFaults, ARawReadIntoAPartOfATensorKeepsTheRest) {
  HOUSE_OR_SKIP(house, MakeSettings("on", GetParam()));
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (int i = 0; i < kTensors; ++i) {
    ASSERT_EQ(write(ends[1], "here", 4), 4);
    ASSERT_EQ(syscall(SYS_read, ends[0], house.tensors[i] + 70'001, 4), 4);
  }
  for (int i = 0; i < kTensors; ++i) {
    EXPECT_EQ(std::memcmp(house.tensors[i] + 70'001, "here", 4), 0);
    for (size_t at = 70'001; at < 70'005; ++at) house.tensors[i][at] = ByteOf(i, at);
    EXPECT_TRUE(house.Holds(i)) << i;
  }
  close(ends[0]);
  close(ends[1]);
}

TEST_P(KernelFaults, ARawWriteFromATensorThatIsAwayWritesItsBytes) {
  HOUSE_OR_SKIP(house, MakeSettings("on", GetParam()));
  for (Call call : kWrites) {
    for (int i = 0; i < kTensors; ++i) {
      const PatternFile file;
      ASSERT_EQ(Make(call, file.descriptor(), house.tensors[i]), static_cast<long>(kBytes)) << i;
      ASSERT_TRUE(file.Holds(i)) << i;
    }
  }
}

TEST_P(KernelFaults, ARawReadIntoATensorThatIsThereAndUnchangedIsNoticed) {
  HOUSE_OR_SKIP(house, MakeSettings("on", GetParam()));
  for (int i = 0; i < kTensors; ++i) {
    ASSERT_TRUE(house.Holds(i));  // brought in by reading: its slot holds the same
    const int like = (i + 3) % kTensors;
    const PatternFile file(like);
    ASSERT_EQ(Make(Call::kRead, file.descriptor(), house.tensors[i]), static_cast<long>(kBytes)) << i;
    house.Displace(i);
    ASSERT_TRUE(house.Holds(i, like)) << "the slot's old bytes came back";
    house.Fill(i);
  }
}

TEST_P(KernelFaults, TensorsThatWereNeverTouchedCanBeReadInto) {
  HOUSE_OR_SKIP(house, MakeSettings("on", GetParam()));
  for (int i = 0; i < kTensors; ++i) {
    auto* const fresh = static_cast<char*>(house.runtime->Allocate(kTensor, Bytes(64)));
    ASSERT_NE(fresh, nullptr);
    const PatternFile file(i);
    ASSERT_EQ(Make(Call::kRead, file.descriptor(), fresh), static_cast<long>(kBytes)) << i;
    const std::string expected = Pattern(i);
    EXPECT_EQ(std::memcmp(fresh, expected.data(), kBytes), 0);
    ASSERT_TRUE(house.runtime->Free(fresh));
  }
  for (int i = 0; i < kTensors; ++i) ASSERT_TRUE(house.Holds(i)) << i;
}

TEST_P(KernelFaults, AFreedTensorIsWildAgain) {
  HOUSE_OR_SKIP(house, MakeSettings("on", GetParam()));
  char* const freed = house.tensors[3];
  ASSERT_TRUE(house.runtime->Free(freed));
  house.tensors[3] = house.tensors[4];
  for (int j = 0; j < kTensors; ++j) EXPECT_TRUE(house.Holds(j, j == 3 ? 4 : j));
  EXPECT_EXIT(*const_cast<volatile char*>(freed) = 1, ::testing::KilledBySignal(SIGSEGV), "");
  const PatternFile file(0);
  EXPECT_EQ(Make(Call::kRead, file.descriptor(), freed), -EFAULT);
}

TEST_P(KernelFaults, ThreadsInSystemCallsAndOutsideSeeTheirBytesWhileEverythingMigrates) {
  HOUSE_OR_SKIP(house, MakeSettings("on", GetParam()));
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0}, short_calls{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937 random(thread);
      std::vector<int> like(kTensors);
      const PatternFile out;
      std::vector<std::unique_ptr<PatternFile>> patterns;
      // Pages under direct transfer are held: where that is not told, they are the program's to pin.
      const int direct = GetParam() && KernelMoves() ? O_DIRECT : 0;
      for (int i = 0; i < 4; ++i) patterns.push_back(std::make_unique<PatternFile>(i, i % 2 == 0 ? direct : 0));
      for (int i = thread; i < kTensors; i += 4) like[i] = i;
      while (!stop.load()) {
        const int i = thread + 4 * static_cast<int>(random() % (kTensors / 4));
        switch (random() % 4) {
          case 0: {
            const int other = static_cast<int>(random() % 4);
            const long done = syscall(SYS_pread64, patterns[other]->descriptor(), house.tensors[i], kBytes, 0);
            short_calls += done != static_cast<long>(kBytes);
            like[i] = other;
            break;
          }
          case 1: {
            const long done = syscall(SYS_pwrite64, out.descriptor(), house.tensors[i], kBytes, 0);
            short_calls += done != static_cast<long>(kBytes);
            wrong += !out.Holds(like[i]);
            break;
          }
          case 2:
            for (size_t at = 0; at < kBytes; ++at) house.tensors[i][at] = ByteOf(i, at);
            like[i] = i;
            break;
          default:
            wrong += !house.Holds(i, like[i]);
        }
      }
      for (int i = thread; i < kTensors; i += 4) wrong += !house.Holds(i, like[i]);
    });
  }
  std::this_thread::sleep_for(std::chrono::seconds(2));
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(short_calls.load(), 0);
}

// Without kernel faults: right bytes, or an error.
void ExpectErrorsOrRightBytes(House& house) {
  int refused = 0;
  for (Call call : kReads) {
    for (int i = 0; i < kTensors; ++i) {
      const int like = (i + 5) % kTensors;
      const PatternFile file(like, call == Call::kDirectRead ? O_DIRECT : 0);
      const long done = Make(call, file.descriptor(), house.tensors[i]);
      ASSERT_TRUE(done == -EFAULT || (done >= 0 && done <= static_cast<long>(kBytes))) << done;
      refused += done != static_cast<long>(kBytes);
      if (done == static_cast<long>(kBytes)) {
        ASSERT_TRUE(house.Holds(i, like)) << i;
      }
      if (done == -EFAULT && call == Call::kRead) {
        // What a call did before it met the hole may be there; each page holds the one or the other.
        for (size_t at = 0; at < kBytes; at += 4096) {
          ASSERT_TRUE(house.tensors[i][at] == ByteOf(i, at) || house.tensors[i][at] == ByteOf(like, at));
        }
      }
      house.Fill(i);
    }
  }
  for (Call call : kWrites) {
    for (int i = 0; i < kTensors; ++i) {
      const PatternFile file;
      const long done = Make(call, file.descriptor(), house.tensors[i]);
      ASSERT_TRUE(done == -EFAULT || (done >= 0 && done <= static_cast<long>(kBytes))) << done;
      refused += done != static_cast<long>(kBytes);
      std::string bytes(kBytes, ' ');
      const ssize_t got = pread(file.descriptor(), bytes.data(), kBytes, 0);
      ASSERT_EQ(std::memcmp(bytes.data(), Pattern(i).data(), std::max<ssize_t>(got, 0)), 0) << "wrong bytes written";
    }
  }
  EXPECT_GT(refused, 0) << "everything was in fast memory";
  for (int i = 0; i < kTensors; ++i) EXPECT_TRUE(house.Holds(i)) << i;
}

TEST(NoKernelFaults, ARawCallOnWhatIsAwayFailsAndNeverGivesWrongBytes) {
  House house(MakeSettings("off"));
  ASSERT_TRUE(house.status.ok()) << house.status;
  ExpectErrorsOrRightBytes(house);
  EXPECT_EQ(house.runtime->Stats().residency.kernel_faults, 0);
}

// Runs the body as nobody, in a child.
template <typename Body>
int AsNobody(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    if (setgroups(0, nullptr) != 0 && geteuid() == 0) _exit(90);
    if (geteuid() == 0 && (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)) _exit(91);
    prctl(PR_SET_DUMPABLE, 1);
    body();
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

TEST(NoKernelFaults, AnOrdinaryUserGetsErrorsOrRightBytesByDefault) {
  EXPECT_EQ(AsNobody([] {
              House house(MakeSettings("auto"));
              ASSERT_TRUE(house.status.ok()) << house.status;
              ExpectErrorsOrRightBytes(house);
            }),
            0);
}

TEST(NoKernelFaults, AnOrdinaryUserWhoInsistsIsToldWhatItNeeds) {
  const auto may = [] { return os::Userfaultfd::SupportedFeatures(os::FaultScope::kKernelFaults).ok(); };
  EXPECT_EQ(AsNobody([&] {
              const House house(MakeSettings("on"));
              if (may()) return;  // this system allows it to everyone
              EXPECT_FALSE(house.status.ok());
              EXPECT_NE(house.status.message().find("CAP_SYS_PTRACE"), std::string::npos) << house.status;
            }),
            0);
}

// Granules of huge pages.
void ExchangeHugeGranules(const std::string& kernel_faults) {
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

TEST(KernelFaultsAlso, GranulesOfHugePagesKeepTheirBytes) { ExchangeHugeGranules("on"); }
TEST(HeldFrames, GranulesOfHugePagesKeepTheirBytes) { ExchangeHugeGranules("off"); }

TEST(KernelFaultsAlso, AProcessThatIsKilledInsideAWaitingCallIsGoneAtOnce) {
  if (const auto may = os::Userfaultfd::SupportedFeatures(os::FaultScope::kKernelFaults); !may.ok()) {
    GTEST_SKIP() << "needs userfaultfd for the kernel's faults" << kOneOf << may.status();
  }
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    Settings settings = MakeSettings("on");
    settings.slow_text = "emulated:in=4GB/s,out=4GB/s,latency=1s,capacity=64MiB";
    settings.slow = *tier::ParseTierSpec(settings.slow_text);
    settings.fast = kGranule * 4;
    auto runtime = *Runtime::Create(settings);
    auto* const tensor = static_cast<char*>(runtime->Allocate(kTensor * 2, Bytes(64)));
    std::memset(tensor, 1, kTensor.count() * 2);
    if (syscall(SYS_write, ends[1], "x", 1) != 1) _exit(3);
    while (true) syscall(SYS_write, ends[1], tensor, kTensor.count());  // its first bytes are away
  }
  close(ends[1]);
  char byte;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  usleep(100'000);
  kill(child, SIGKILL);
  int status = 0;
  for (int i = 0; i < 300 && waitpid(child, &status, WNOHANG) == 0; ++i) usleep(10'000);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  close(ends[0]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Buffers that the kernel holds.

// Registers tensor 0 as io_uring's fixed buffer, lets everything else displace it, then reads a file into it.
void ReadFixedWhileDueToLeave(House& house, bool pins) {
  io_uring ring;
  ASSERT_EQ(io_uring_queue_init(4, &ring, 0), 0);
  house.Fill(0);  // writable, as the kernel wants it to be
  if (pins) {
    ASSERT_TRUE(house.runtime->Pin(house.tensors[0], kTensor).ok());
  }
  const iovec part = {house.tensors[0], kBytes};
  ASSERT_EQ(io_uring_register_buffers(&ring, &part, 1), 0);
  house.Displace(0);
  const PatternFile file(7, O_DIRECT);
  io_uring_prep_read_fixed(io_uring_get_sqe(&ring), file.descriptor(), house.tensors[0], kBytes, 0, 0);
  io_uring_submit_and_wait(&ring, 1);
  io_uring_cqe* cqe = nullptr;
  ASSERT_EQ(io_uring_wait_cqe(&ring, &cqe), 0);
  ASSERT_EQ(cqe->res, static_cast<int>(kBytes));
  EXPECT_TRUE(house.Holds(0, 7)) << "the kernel wrote into a frame that had been given away";
  for (int i = 1; i < kTensors; ++i) EXPECT_TRUE(house.Holds(i)) << i;
  io_uring_queue_exit(&ring);
  if (pins) {
    EXPECT_TRUE(house.runtime->Unpin(house.tensors[0], kTensor).ok());
  }
  // Let go, it leaves as any other.
  for (int round = 0; round < 20; ++round) {
    house.Displace(0);
    ASSERT_TRUE(house.Holds(0, 7));
  }
}

TEST(HeldFrames, AFixedBufferDueToLeaveStaysAndGetsItsBytes) {
  if (!KernelMoves()) GTEST_SKIP() << "needs a kernel with UFFDIO_MOVE: Linux 6.8 or later";
  House house(MakeSettings("off"));
  ASSERT_TRUE(house.status.ok()) << house.status;
  ReadFixedWhileDueToLeave(house, /*pins=*/false);
  EXPECT_GT(house.runtime->Stats().residency.held, 0);
}

TEST(HeldFrames, AFixedBufferDueToLeaveStaysWithKernelFaultsToo) {
  if (!KernelMoves()) GTEST_SKIP() << "needs a kernel with UFFDIO_MOVE: Linux 6.8 or later";
  HOUSE_OR_SKIP(house, MakeSettings("on"));
  ReadFixedWhileDueToLeave(house, /*pins=*/false);
  EXPECT_GT(house.runtime->Stats().residency.held, 0);
}

TEST(HeldFrames, WhereTheKernelDoesNotTellAPinKeepsAFixedBuffer) {
  House house(MakeSettings("off", /*held_frames=*/false));
  ASSERT_TRUE(house.status.ok()) << house.status;
  ReadFixedWhileDueToLeave(house, /*pins=*/true);
  EXPECT_EQ(house.runtime->Stats().residency.held, 0);
}

TEST(HeldFrames, DirectReadsUnderWayLandInTheirTensors) {
  if (!KernelMoves()) GTEST_SKIP() << "needs a kernel with UFFDIO_MOVE: Linux 6.8 or later";
  House house(MakeSettings("off"));
  ASSERT_TRUE(house.status.ok()) << house.status;
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0}, done{0};
  std::thread reader([&] {
    const PatternFile first(1, O_DIRECT), second(2, O_DIRECT);
    for (int round = 0; !stop.load(); ++round) {
      const PatternFile& file = round % 2 == 0 ? first : second;
      house.Fill(0);
      if (syscall(SYS_pread64, file.descriptor(), house.tensors[0], kBytes, 0) != static_cast<long>(kBytes)) continue;
      ++done;
      wrong += !house.Holds(0, round % 2 == 0 ? 1 : 2);
    }
  });
  for (int round = 0; round < 40; ++round) {
    for (int i = 1; i < kTensors; ++i) wrong += !house.Holds(i);
  }
  stop.store(true);
  reader.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_GT(done.load(), 0);
}

TEST(HeldFrames, WhatIsOnlySharedWithAForkedChildLeavesAllTheSame) {
  if (!KernelMoves()) GTEST_SKIP() << "needs a kernel with UFFDIO_MOVE: Linux 6.8 or later";
  House house(MakeSettings("off"));
  ASSERT_TRUE(house.status.ok()) << house.status;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[1]);
    char byte;
    while (read(ends[0], &byte, 1) > 0) {
    }
    bool right = true;
    for (int i = 0; i < kTensors; ++i) right &= house.Holds(i);
    _exit(right ? 0 : 1);
  }
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kTensors; ++i) {
      EXPECT_TRUE(house.Holds(i)) << i;
      house.Fill(i);
    }
  }
  EXPECT_EQ(house.runtime->Stats().residency.held, 0);
  close(ends[0]);
  close(ends[1]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace thermocline::runtime

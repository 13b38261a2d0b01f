// Raw system calls on tensors in the slow tier. With kernel faults a call waits for the bytes; without, it fails with
// EFAULT or stops short: never wrong bytes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/os/nobody.h"
#include "tests/runtime/kernel_access_fixture.h"

namespace thermocline::runtime {
namespace {

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
    if (!os::BecomeNobody()) _exit(90);
    body();
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

TEST(NoKernelFaults, AnOrdinaryUserGetsErrorsOrRightBytesByDefault) {
  if (!os::NobodyMayWriteTo("/var/tmp")) GTEST_SKIP() << "needs a /var/tmp that the user nobody may write to";
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

TEST(KernelFaultsAlso, GranulesOfHugePagesKeepTheirBytes) { ExchangeHugeGranules("on"); }

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

}  // namespace
}  // namespace thermocline::runtime

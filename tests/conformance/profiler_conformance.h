// What every access profiler promises of the pages that are touched in a layer, whatever its mechanism. A profiler's
// test file instantiates the suite by its name; profiler_step_conformance.h adds to it.
#ifndef THERMOCLINE_TESTS_CONFORMANCE_PROFILER_CONFORMANCE_H_
#define THERMOCLINE_TESTS_CONFORMANCE_PROFILER_CONFORMANCE_H_

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/conformance/profiler_under_test.h"
#include "tests/os/smaps.h"

namespace thermocline {

// Runs the body in a forked child; its result is the child's exit status, or 128 and more when a signal killed it.
inline int InChild(const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST_P(ProfilerConformance, ReadsAndWritesAreSeenApart) {
  ProfiledMemory memory(GetParam());
  char* const t = memory.New(KiB(64));
  std::memset(t, 7, KiB(64).count());
  memory.residency->Arm(&memory.recorder);
  EXPECT_EQ(Read(t), 7);
  Write(t + kPage, 8);
  Read(t + 2 * kPage);
  Write(t + 2 * kPage + 9, 9);  // a read, then a write
  Write(t + 3 * kPage, 1);
  Read(t + 3 * kPage);  // a write first: later reads of it are not told
  EXPECT_EQ(
      memory.EndLayer(),
      (Touches{{t, false}, {t + kPage, true}, {t + 2 * kPage, false}, {t + 2 * kPage, true}, {t + 3 * kPage, true}}));
  EXPECT_EQ(memory.EndLayer(), Touches{}) << "a layer that touches nothing";
  Read(t + kPage);
  Read(t + 2 * kPage);
  EXPECT_EQ(memory.EndLayer(), (Touches{{t + kPage, false}, {t + 2 * kPage, false}}))
      << "what was written is closed too";
  memory.residency->Disarm();
  EXPECT_EQ(Read(t + kPage), 8);
  EXPECT_EQ(Read(t + 2 * kPage + 9), 9);
}

TEST_P(ProfilerConformance, TheGrainIs4KiBBelow256KiBAnd64KiBFromThereOn) {
  ProfiledMemory memory(GetParam());
  char* const small = memory.New(KiB(252));
  char* const large = memory.New(KiB(256));
  memory.residency->Arm(&memory.recorder);
  for (int64_t at = 0; at < KiB(256).count(); at += kPage) {
    if (at < KiB(252).count()) Write(small + at, 1);
    Write(large + at + 5, 1);
  }
  const Touches touches = memory.EndLayer();
  EXPECT_EQ(touches.size(), 63u + 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(touches.count({large + i * 65536, true}), 1u);
  memory.residency->Disarm();
}

TEST_P(ProfilerConformance, RandomTouchesGiveExactlyTheirPagesLayerByLayer) {
  ProfiledMemory memory(GetParam());
  std::vector<char*> tensors;
  for (int i = 0; i < 8; ++i) tensors.push_back(memory.New(KiB(128)));
  std::map<char*, char> expected_bytes;
  memory.residency->Arm(&memory.recorder);
  std::mt19937 random(42);
  for (int layer = 0; layer < 30; ++layer) {
    Touches expected;
    std::map<char*, bool> open;  // page to whether it is open for writing
    for (int i = 0; i < 60; ++i) {
      char* const page = tensors[random() % tensors.size()] + random() % 32 * kPage;
      char* const at = page + random() % kPage;
      const bool write = random() % 2 == 0;
      const auto known = open.find(page);
      if (known == open.end() || (write && !known->second)) expected.insert({page, write});
      open[page] |= write;
      if (write) {
        Write(at, expected_bytes[at] = static_cast<char>(random()));
      } else if (const auto byte = expected_bytes.find(at); byte != expected_bytes.end()) {
        EXPECT_EQ(Read(at), byte->second);
      } else {
        Read(at);
      }
    }
    ASSERT_EQ(memory.EndLayer(), expected) << "layer " << layer;
  }
  memory.residency->Disarm();
  for (const auto& [at, byte] : expected_bytes) EXPECT_EQ(Read(at), byte);
}

TEST_P(ProfilerConformance, TouchesOfSeveralThreadsAreAllSeen) {
  ProfiledMemory memory(GetParam());
  constexpr int kThreads = 4;
  std::vector<char*> tensors;
  for (int i = 0; i < kThreads; ++i) tensors.push_back(memory.New(KiB(252)));
  char* const common = memory.New(KiB(252));
  memory.residency->Arm(&memory.recorder);
  for (int layer = 0; layer < 5; ++layer) {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int page = t; page < 63; page += 2) Write(tensors[t] + page * kPage, 1);
        for (int page = 0; page < 63; ++page) Read(common + page * kPage);
      });
    }
    for (std::thread& thread : threads) thread.join();
    const Touches touches = memory.EndLayer();
    for (int t = 0; t < kThreads; ++t) {
      for (int page = 0; page < 63; ++page) {
        const bool touched = page >= t && (page - t) % 2 == 0;
        EXPECT_EQ(touches.count({tensors[t] + page * kPage, true}), touched ? 1u : 0u);
      }
    }
    // Threads that fault on one page at once may each be told.
    for (int page = 0; page < 63; ++page) EXPECT_GE(touches.count({common + page * kPage, false}), 1u);
  }
  memory.residency->Disarm();
}

TEST_P(ProfilerConformance, SwitchingKeepsBytesAddressesAndTheBudget) {
  ProfiledMemory memory(GetParam());
  // All frames but the one that copies need: those without a slot may not take the exchange margin.
  std::vector<char*> tensors;
  for (int i = 0; i < kFrames - 2; ++i) tensors.push_back(memory.New(kGranule));
  for (int i = 0; i < std::ssize(tensors); ++i) std::memset(tensors[i], i + 1, kGranule.count());
  for (int round = 0; round < 3; ++round) {
    memory.residency->Arm(&memory.recorder);
    for (int i = 0; i < std::ssize(tensors); ++i) {
      EXPECT_EQ(Read(tensors[i] + 70'000), i + 1);
      EXPECT_LE(memory.residency->frames().in_use(), kFrames);
    }
    Write(tensors[0] + round, 99);
    memory.EndLayer();
    memory.residency->Disarm();
    EXPECT_FALSE(memory.residency->frames().any_shared()) << "a placed step has its own backing again";
  }
  EXPECT_LE(memory.residency->frames().peak_in_use(), kFrames);
  for (int i = 1; i < std::ssize(tensors); ++i) {
    EXPECT_EQ(std::string(tensors[i], 100), std::string(100, static_cast<char>(i + 1)));
  }
  EXPECT_EQ(std::string(tensors[0], 4), std::string("ccc\1"));
}

// The real calls. Where a frame's pages are about to be replaced, both are there: it counts what is resident then.
class WatchfulMemory final : public os::Memory {
 public:
  absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) override { return real_.Reserve(size, alignment); }
  int MapFresh(char* at, Bytes size, bool huge) override { return real_.MapFresh(at, size, huge); }
  int Attach(char* home, char* at, Bytes size, os::Protection protection) override {
    if (residency != nullptr) most = std::max(most, Resident());
    return real_.Attach(home, at, size, protection);
  }
  int Detach(char* at, char* home, Bytes size) override { return real_.Detach(at, home, size); }
  int Protect(char* at, Bytes size, os::Protection protection) override { return real_.Protect(at, size, protection); }
  int Discard(char* at, Bytes size) override { return real_.Discard(at, size); }
  void Collapse(char* at, Bytes size) override { real_.Collapse(at, size); }
  int Unmap(char* at, Bytes size) override { return real_.Unmap(at, size); }

  arena::Residency* residency = nullptr;
  Bytes most;

 private:
  Bytes Resident() const {
    return os::InSmaps("Anonymous", residency->base(), residency->size()) +
           os::InSmaps("Anonymous", residency->frames().Home(FrameId(0)), kGranule * (kFrames + 1)) +
           os::InMemoryFiles();
  }
  os::Memory& real_ = os::RealMemory();
};

TEST_P(ProfilerConformance, WithEveryFrameInUseNoPageMoreIsThereEither) {
  WatchfulMemory memory;
  ProfiledMemory profiled(GetParam(), memory);
  memory.residency = profiled.residency.get();
  std::vector<char*> tensors;
  const auto more = [&](int count) {
    for (; std::ssize(tensors) < count;) {
      tensors.push_back(profiled.New(kGranule));
      std::memset(tensors.back(), static_cast<int>(std::ssize(tensors)), kGranule.count());
    }
  };
  more(kFrames / 2);
  profiled.residency->Arm(&profiled.recorder);
  more(kFrames);
  EXPECT_EQ(profiled.residency->frames().in_use(), kFrames);
  profiled.EndLayer();
  profiled.residency->Disarm();
  EXPECT_GE(memory.most, kGranule * (kFrames - 1)) << "hardly anything was seen";
  EXPECT_LE(memory.most, kGranule * kFrames);
  const auto all_hold = [&] {
    for (int i = 0; i < kFrames; ++i) {
      const std::string expected(kGranule.count(), static_cast<char>(i + 1));
      EXPECT_EQ(std::memcmp(tensors[i], expected.data(), expected.size()), 0) << i;
    }
  };
  all_hold();
  for (char* tensor : tensors) Write(tensor, Read(tensor));
  // With room for a copy again, the next profiled step leaves them as they were.
  profiled.residency->Drop(profiled.residency->RangeOf(tensors.back(), kGranule));
  profiled.residency->Arm(&profiled.recorder);
  profiled.residency->Disarm();
  EXPECT_FALSE(profiled.residency->frames().any_shared());
  EXPECT_LE(memory.most, kGranule * kFrames);
  for (int i = 0; i + 1 < kFrames; ++i) EXPECT_EQ(Read(tensors[i]), i + 1);
}

TEST_P(ProfilerConformance, APinnedTensorIsOpenToTheKernelAndWatchedAgainAfterwards) {
  ProfiledMemory memory(GetParam());
  char* const t = memory.New(KiB(64));
  memory.residency->Arm(&memory.recorder);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "bytes", 5), 5);
  const auto range = memory.residency->RangeOf(t, KiB(64));
  ASSERT_TRUE(memory.residency->Pin(range).ok());
  EXPECT_EQ(read(ends[0], t + kPage, 5), 5);
  ASSERT_TRUE(memory.residency->Unpin(range).ok());
  memory.EndLayer();
  EXPECT_EQ(Read(t + kPage), 'b');
  EXPECT_EQ(memory.EndLayer(), (Touches{{t + kPage, false}}));
  memory.residency->Disarm();
  close(ends[0]);
  close(ends[1]);
}

TEST_P(ProfilerConformance, AWildPointerStillReachesTheProgramsOwnHandler) {
  EXPECT_EQ(InChild([] {
              struct sigaction action = {};
              action.sa_handler = [](int) { _exit(42); };
              sigaction(SIGSEGV, &action, nullptr);
              ProfiledMemory memory(GetParam());
              char* const t = memory.New(KiB(64));
              memory.residency->Arm(&memory.recorder);
              Write(t, 1);
              volatile uintptr_t wild = 64;
              Write(reinterpret_cast<char*>(wild), 1);
              return 1;
            }),
            42);
}

TEST_P(ProfilerConformance, AtTheLimitOfMappingsAProfileIsCoarserAtMost) {
  const int result = InChild([] {
    ProfiledMemory memory(GetParam());
    constexpr int kTensors = 8;
    std::vector<char*> tensors;
    for (int i = 0; i < kTensors; ++i) tensors.push_back(memory.New(KiB(252)));
    for (char* t : tensors) std::memset(t, 5, KiB(252).count());
    memory.residency->Arm(&memory.recorder);
    // Pages of alternating protection are mappings of their own.
    const size_t size = size_t{2} * os::MaxMapCount() * kPage;
    char* const filler = static_cast<char*>(mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (filler == MAP_FAILED) return 2;
    bool reached = false;
    for (size_t at = 0; at < size && !reached; at += 2 * kPage) reached = mprotect(filler + at, kPage, PROT_NONE) != 0;
    if (!reached) return 3;
    for (char* t : tensors) {
      for (int page = 0; page < 63; page += 2) {
        if (Read(t + page * kPage) != 5) return 4;
        Write(t + page * kPage, 6);
      }
    }
    const auto touches = memory.EndLayer();
    if (touches.empty()) return 5;
    for (char* t : tensors) {
      for (int page = 0; page < 63; ++page) {
        if (Read(t + page * kPage) != (page % 2 == 0 ? 6 : 5)) return 6;
      }
    }
    const bool coarse = memory.residency->profiling_stats().coarse > 0;
    if (coarse != (std::string(GetParam()) == "mprotect")) return 7;
    if (!coarse && touches.size() != kTensors * 32 * 2) return 8;
    return 0;
  });
  EXPECT_EQ(result, 0) << "the number names the check in the child; over 127: killed";
}

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_CONFORMANCE_PROFILER_CONFORMANCE_H_

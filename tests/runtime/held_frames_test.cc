// Buffers that the kernel or a device holds while their tensors are due to leave: io_uring's fixed buffers, O_DIRECT
// under way, and pages that are only shared with a forked child.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/runtime/kernel_access_fixture.h"

namespace thermocline::runtime {
namespace {

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

TEST(HeldFrames, ByDefaultTheKernelIsNotAskedAndAPinKeepsAFixedBuffer) {
  const Settings defaults;
  ASSERT_FALSE(defaults.held_frames);
  House house(MakeSettings(defaults.kernel_faults, defaults.held_frames));
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

TEST(HeldFrames, GranulesOfHugePagesKeepTheirBytes) { ExchangeHugeGranules("off"); }

}  // namespace
}  // namespace thermocline::runtime

#include "src/topology/measure.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <vector>

#include "tests/topology/fake_system_calls.h"

namespace thermocline::topology {
namespace {

using ::testing::HasSubstr;

TEST(MemoryMeasurerTest, FindsFiguresThatMemoryCanHave) {
  MemoryMeasurer measurer;
  const auto figures = measurer.Measure(NodeId(0), false);
  ASSERT_TRUE(figures.ok()) << figures.status();
  EXPECT_GT(figures->read.rate(), 50e6);
  EXPECT_LT(figures->read.rate(), 5e12);
  EXPECT_GT(figures->write.rate(), 50e6);
  EXPECT_LT(figures->write.rate(), 5e12);
  EXPECT_GT(figures->latency_seconds, 1e-9);
  EXPECT_LT(figures->latency_seconds, 1e-4);
}

TEST(MemoryMeasurerTest, SaysWhatTheKernelRefused) {
  RefusingSystemCalls calls;
  calls.Refuse(SYS_mbind, EPERM);
  MemoryMeasurer measurer(calls);
  const auto figures = measurer.Measure(NodeId(3), true);
  ASSERT_FALSE(figures.ok());
  EXPECT_THAT(std::string(figures.status().message()), HasSubstr("mbind"));
  EXPECT_THAT(std::string(figures.status().message()), HasSubstr("node 3"));
}

TEST(MemoryMeasurerTest, GivesItsMemoryBackEvenWhenRefused) {
  RefusingSystemCalls calls;
  calls.Refuse(SYS_mbind, ENOSYS);
  MemoryMeasurer measurer(calls);
  ASSERT_FALSE(measurer.Measure(NodeId(0), true).ok());
  EXPECT_EQ(calls.CallsOf(SYS_mmap), 1);
  EXPECT_EQ(calls.CallsOf(SYS_munmap), 1);
}

TEST(MemoryMeasurerTest, AMachineWithoutRoomIsAnErrorNotACrash) {
  RefusingSystemCalls calls;
  calls.Refuse(SYS_mmap, ENOMEM);
  MemoryMeasurer measurer(calls);
  EXPECT_FALSE(measurer.Measure(NodeId(0), false).ok());
}

}  // namespace
}  // namespace thermocline::topology

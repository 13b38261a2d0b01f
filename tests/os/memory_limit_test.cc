// How much memory a process may use, by made-up trees of /proc and /sys/fs/cgroup.
#include "src/os/memory_limit.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "src/os/memory.h"

namespace thermocline::os {
namespace {

constexpr Bytes kPhysical = GiB(16);

class MemoryLimitTest : public ::testing::Test {
 protected:
  MemoryLimitTest() : root_(std::filesystem::path(::testing::TempDir()) / "memory_limit_test") {
    std::filesystem::remove_all(root_);
  }
  ~MemoryLimitTest() override { std::filesystem::remove_all(root_); }

  // A file of the machine, and all folders above it.
  void Has(const std::string& file, const std::string& text) {
    const std::filesystem::path path = root_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << '\n';
  }
  void IsIn(const std::string& cgroups) { Has("proc/self/cgroup", cgroups); }
  SystemRoots Roots() const { return {root_ / "proc", root_ / "sys"}; }

  void ExpectLimit(Bytes bytes, const std::string& file) const {
    const MemoryLimit limit = FindMemoryLimit(kPhysical, Roots());
    EXPECT_EQ(limit.bytes, bytes);
    EXPECT_EQ(limit.cgroup_file, root_ / "sys/fs/cgroup" / file);
  }
  void ExpectAllOfTheMachine() const {
    const MemoryLimit limit = FindMemoryLimit(kPhysical, Roots());
    EXPECT_EQ(limit.bytes, kPhysical);
    EXPECT_EQ(limit.cgroup_file, "");
  }

 private:
  const std::filesystem::path root_;
};

TEST_F(MemoryLimitTest, IsThatOfTheProcesssCgroup) {
  IsIn("0::/job");
  Has("sys/fs/cgroup/job/memory.max", "1073741824");
  Has("sys/fs/cgroup/other/memory.max", "65536");
  ExpectLimit(GiB(1), "job/memory.max");
}

TEST_F(MemoryLimitTest, IsTheLeastOfAllThatAreAboveIt) {
  IsIn("0::/batch.slice/job.scope/inner");
  Has("sys/fs/cgroup/batch.slice/memory.max", "536870912");
  Has("sys/fs/cgroup/batch.slice/job.scope/memory.max", "max");
  Has("sys/fs/cgroup/batch.slice/job.scope/inner/memory.max", "1073741824");
  ExpectLimit(MiB(512), "batch.slice/memory.max");
}

TEST_F(MemoryLimitTest, IsTheContainersWhereItsCgroupIsTheRootOfAllThatItSees) {
  IsIn("0::/");
  Has("sys/fs/cgroup/memory.max", "268435456");
  ExpectLimit(MiB(256), "memory.max");
}

TEST_F(MemoryLimitTest, OfVersion1IsInTheMemoryControllersHierarchy) {
  IsIn("12:cpu,cpuacct:/\n5:memory:/docker/1234\n0::/system.slice");
  Has("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  Has("sys/fs/cgroup/memory/docker/1234/memory.limit_in_bytes", "536870912");
  ExpectLimit(MiB(512), "memory/docker/1234/memory.limit_in_bytes");
  EXPECT_EQ(ReadCgroupLimit(Roots())->version, "v1");
}

TEST_F(MemoryLimitTest, OfVersion1IsTheRootsWhereTheHostsPathIsNotSeen) {
  IsIn("5:hugetlb,memory:/docker/1234");
  Has("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912");
  ExpectLimit(MiB(512), "memory/memory.limit_in_bytes");
}

TEST_F(MemoryLimitTest, OfVersion1AboveIsLeastToo) {
  IsIn("5:memory:/batch/job");
  Has("sys/fs/cgroup/memory/batch/memory.limit_in_bytes", "536870912");
  Has("sys/fs/cgroup/memory/batch/job/memory.limit_in_bytes", "1073741824");
  ExpectLimit(MiB(512), "memory/batch/memory.limit_in_bytes");
}

TEST_F(MemoryLimitTest, IsTheMachinesWhereNoCgroupHasOne) {
  ExpectAllOfTheMachine();  // no /proc
  EXPECT_FALSE(ReadCgroupLimit(Roots()).has_value());
  IsIn("0::/job");
  ExpectAllOfTheMachine();  // no controller
  Has("sys/fs/cgroup/job/memory.max", "max");
  ExpectAllOfTheMachine();
  EXPECT_EQ(ReadCgroupLimit(Roots())->bytes, std::nullopt);
  Has("sys/fs/cgroup/job/memory.max", "");
  ExpectAllOfTheMachine();
}

TEST_F(MemoryLimitTest, IsTheMachinesWhereTheCgroupsIsLarger) {
  IsIn("0::/job");
  Has("sys/fs/cgroup/job/memory.max", "1099511627776");
  ExpectAllOfTheMachine();
  EXPECT_EQ(ReadCgroupLimit(Roots())->bytes, GiB(1024));
}

TEST(OwnMemoryLimit, IsNoMoreThanTheMachineHas) {
  EXPECT_GT(FindMemoryLimit().bytes, Bytes(0));
  EXPECT_LE(FindMemoryLimit().bytes, PhysicalMemory());
}

}  // namespace
}  // namespace thermocline::os

// The group that counts and limits a row of the demo's table, on made-up trees of both versions of cgroups.
#include "examples/demo/memory_cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace thermocline::demo {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int64_t kLimit = 300 << 20;

void Put(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string Get(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What the kernel does when a group is made: its files are there at once.
int MakeGroup(const char* path, mode_t mode, const std::vector<std::string>& files) {
  if (mkdir(path, mode) != 0) return -1;
  for (const std::string& file : files) Put(std::string(path) + "/" + file, "");
  return 0;
}
int MakeV1Group(const char* path, mode_t mode) {
  return MakeGroup(path, mode,
                   {"cgroup.procs", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control",
                    "memory.swappiness"});
}
int MakeV2Group(const char* path, mode_t mode) {
  return MakeGroup(path, mode, {"cgroup.procs", "memory.max", "memory.high", "memory.peak", "memory.swap.max"});
}

class DemoCgroup : public ::testing::Test {
 protected:
  ~DemoCgroup() override {
    group_.reset();
    std::filesystem::remove_all(tree_.root);
  }

  // A machine with these mounts, whose process is in this group.
  void Machine(const std::string& mounts, const std::string& own_group) {
    std::filesystem::create_directories(tree_.root + "/proc/self");
    Put(tree_.root + "/proc/self/mounts", mounts);
    Put(tree_.root + "/proc/self/cgroup", own_group);
  }
  // Most distributions had both at once: version 2 without a memory controller.
  void Version1(const std::string& own_group) {
    Machine(
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
        "cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,memory 0 0\n",
        "3:cpu:/user\n2:memory:" + own_group + "\n0::/user\n");
    std::filesystem::create_directories(tree_.root + "/sys/fs/cgroup/memory/user");
    tree_.make_folder = MakeV1Group;
  }
  void Version2() {
    Machine("proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "0::/user\n");
    std::filesystem::create_directories(tree_.root + "/sys/fs/cgroup");
    tree_.make_folder = MakeV2Group;
  }

  // Whether there is a group now; its files are in folder_, which is to lie below `parent`.
  bool Create(const std::string& parent) {
    group_ = MemoryCgroup::Create("swap-20", &journal_, &why_not_, tree_);
    parent_ = tree_.root + parent;
    folder_ = parent_ + "/thermocline-demo-" + std::to_string(getpid()) + "-swap-20";
    return group_ != nullptr;
  }
  std::string Of(const std::string& file) const { return Get(folder_ + "/" + file); }
  // A group's files go with its folder, as the kernel has it; then nothing is left below `parent`.
  void ExpectNothingLeftAfterwards() {
    for (const auto& file : std::filesystem::directory_iterator(folder_)) std::filesystem::remove_all(file);
    group_.reset();
    EXPECT_TRUE(std::filesystem::is_empty(parent_)) << parent_;
    EXPECT_FALSE(std::filesystem::exists(journal_path()));
  }
  std::string journal_path() const { return tree_.root + ".undo"; }

  CgroupTree tree_{.root = ::testing::TempDir() + "demo_cgroup_test_" + std::to_string(getpid())};
  UndoJournal journal_{journal_path()};
  std::string why_not_;
  std::string parent_;
  std::string folder_;
  std::unique_ptr<MemoryCgroup> group_;
};

TEST_F(DemoCgroup, Version1LimitsAndCountsBelowTheOwnGroup) {
  Version1("/user");
  ASSERT_TRUE(Create("/sys/fs/cgroup/memory/user")) << why_not_;
  EXPECT_THAT(Get(journal_path()), HasSubstr(folder_)) << "written down, for after a kill";
  EXPECT_EQ(group_->members_file(), folder_ + "/cgroup.procs");
  group_->SetLimit(kLimit);
  EXPECT_EQ(Of("memory.limit_in_bytes"), std::to_string(kLimit));
  group_->WaitAtLimit();
  EXPECT_EQ(Of("memory.oom_control"), "1");
  EXPECT_EQ(Of("memory.limit_in_bytes"), std::to_string(kLimit));
  group_->ForbidSwap();
  EXPECT_EQ(Of("memory.swappiness"), "0");
  EXPECT_FALSE(group_->Counts());
  Put(folder_ + "/memory.max_usage_in_bytes", "123456789\n");
  EXPECT_TRUE(group_->Counts());
  EXPECT_EQ(group_->PeakBytes(), 123456789);
  EXPECT_THAT(group_->Describe(), HasSubstr("v1"));
  ExpectNothingLeftAfterwards();
}

TEST_F(DemoCgroup, Version1IsBelowTheMountPointWhereTheOwnGroupIsAnotherNamespaces) {
  Version1("/docker/1234");
  EXPECT_TRUE(Create("/sys/fs/cgroup/memory")) << why_not_;
  EXPECT_TRUE(std::filesystem::exists(folder_));
}

TEST_F(DemoCgroup, Version1IsAtItsLimitAgainAfterItHelpedAProcessThatWaits) {
  Version1("/user");
  ASSERT_TRUE(Create("/sys/fs/cgroup/memory/user")) << why_not_;
  group_->SetLimit(kLimit);
  group_->WaitAtLimit();
  Put(folder_ + "/memory.limit_in_bytes", "as it was");
  Put(folder_ + "/memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n");
  group_->Unstick();
  EXPECT_EQ(Of("memory.limit_in_bytes"), "as it was") << "nobody waited";
  Put(folder_ + "/memory.oom_control", "oom_kill_disable 1\nunder_oom 1\noom_kill 0\n");
  group_->Unstick();
  EXPECT_EQ(Of("memory.limit_in_bytes"), std::to_string(kLimit));
}

TEST_F(DemoCgroup, Version2LetsProcessesWaitBelowAHardLimitALittleAbove) {
  Version2();
  ASSERT_TRUE(Create("/sys/fs/cgroup")) << why_not_;
  group_->SetLimit(kLimit);
  EXPECT_EQ(Of("memory.max"), std::to_string(kLimit));
  EXPECT_EQ(Of("memory.high"), "");
  group_->WaitAtLimit();
  EXPECT_EQ(Of("memory.high"), std::to_string(kLimit));
  EXPECT_EQ(Of("memory.max"), std::to_string(kLimit + (64 << 20)));
  group_->Unstick();
  EXPECT_EQ(Of("memory.max"), std::to_string(kLimit + (64 << 20)));
  group_->ForbidSwap();
  EXPECT_EQ(Of("memory.swap.max"), "0");
  Put(folder_ + "/memory.peak", "123456789\n");
  EXPECT_EQ(group_->PeakBytes(), 123456789);
  EXPECT_THAT(group_->Describe(), HasSubstr("v2"));
  ExpectNothingLeftAfterwards();
}

TEST_F(DemoCgroup, AKernelThatKeepsNoPeakCountsNothing) {
  Version2();
  ASSERT_TRUE(Create("/sys/fs/cgroup")) << why_not_;
  std::filesystem::remove(folder_ + "/memory.peak");
  EXPECT_FALSE(group_->Counts());
}

TEST_F(DemoCgroup, AMachineWithoutSaysWhyAndLeavesNothing) {
  Machine("proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", "0::/\n");
  EXPECT_FALSE(Create("/sys/fs/cgroup"));
  EXPECT_THAT(why_not_, HasSubstr("no cgroup file system with a memory controller"));

  Version2();
  std::filesystem::remove(tree_.root + "/sys/fs/cgroup");
  EXPECT_FALSE(Create("/sys/fs/cgroup"));
  EXPECT_THAT(why_not_, HasSubstr("may not be made by this user"));

  Version2();
  tree_.make_folder = mkdir;  // a group without a controller has none of its files
  EXPECT_FALSE(Create("/sys/fs/cgroup"));
  EXPECT_THAT(why_not_, HasSubstr("not enabled for groups below " + parent_));
  EXPECT_TRUE(std::filesystem::is_empty(parent_));
  EXPECT_FALSE(std::filesystem::exists(journal_path()));
}

TEST_F(DemoCgroup, WhatTheKernelRefusesIsNamed) {
  Version2();
  ASSERT_TRUE(Create("/sys/fs/cgroup")) << why_not_;
  std::filesystem::remove(folder_ + "/memory.max");
  std::filesystem::create_directory(folder_ + "/memory.max");  // which can't be written
  EXPECT_THAT([&] { group_->SetLimit(kLimit); }, ThrowsMessage<std::runtime_error>(HasSubstr(folder_ + "/memory.max")));
}

}  // namespace
}  // namespace thermocline::demo

// What a budget is held against, and what it is where none is given.
#include "src/runtime/settings.h"

#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/runtime/runtime.h"

namespace thermocline::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kFile[] = "/sys/fs/cgroup/job/memory.max";
const os::MemoryLimit kCgroup{MiB(100), kFile}, kMachine{MiB(100), ""};

absl::StatusOr<Settings> Read(const std::string& fast, const os::MemoryLimit& memory) {
  RawSettings raw;
  raw.fast = fast;
  raw.slow = "emulated:in=2GB/s,out=2GB/s";
  const auto known_link = [](const std::string& name) {
    return name == "THERMOCLINE_LINK" ? std::optional<std::string>("in=2GB/s,out=2GB/s") : std::nullopt;
  };
  return ReadSettings(raw, known_link, memory);
}

TEST(TheFastBudget, IsFourFifthsOfWhatTheProcessMayUse) {
  EXPECT_EQ(Read("", kCgroup)->fast, MiB(80));
  EXPECT_EQ(Read("", kMachine)->fast, MiB(80));
}

TEST(TheFastBudget, AboveWhatTheProcessMayUseIsRefusedAndTheLimitIsNamed) {
  EXPECT_EQ(Read("100MiB", kCgroup)->fast, MiB(100));
  EXPECT_THAT(Read("101MiB", kCgroup).status().message(),
              AllOf(HasSubstr("fast is 101MiB"), HasSubstr("cgroup may use 100 MiB"), HasSubstr(kFile)));
  EXPECT_THAT(Read("101MiB", kMachine).status().message(), HasSubstr("this machine has 100 MiB of memory; give less"));
}

TEST(TheGranule, IsAHugePageAndLessWhereTheBudgetHasTooFewOfThose) {
  const os::MemoryLimit memory{GiB(8), ""};
  EXPECT_EQ(Read("4GiB", memory)->granule_bytes, MiB(2));
  EXPECT_EQ(Read("16MiB", memory)->granule_bytes, MiB(2));
  EXPECT_EQ(Read("15MiB", memory)->granule_bytes, MiB(1));
  EXPECT_EQ(Read("7MiB", memory)->granule_bytes, KiB(512));
  EXPECT_EQ(Read("4MiB", memory)->granule_bytes, KiB(512));
}

TEST(TheFastBudget, CanBeRaisedNoHigherWhileItRuns) {
  const auto runtime = Runtime::Create(*Read("32MiB", kCgroup));
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  EXPECT_TRUE((*runtime)->SetBudget(MiB(100)).ok());
  EXPECT_THAT((*runtime)->SetBudget(MiB(102)).message(), HasSubstr("to 100 MiB"));
}

}  // namespace
}  // namespace thermocline::runtime

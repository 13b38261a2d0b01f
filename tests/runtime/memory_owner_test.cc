// Which runtime an address belongs to, and that a runtime goes only when no call is at it any more.
#include "src/runtime/memory_owner.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

namespace thermocline::runtime {
namespace {

constexpr Bytes kBytes(4096);

// The list asks nothing of a runtime but its address.
class MemoryOwnerTest : public ::testing::Test {
 protected:
  ~MemoryOwnerTest() override {
    RemoveMemoryOwner(first());
    RemoveMemoryOwner(second());
  }
  Runtime* first() { return reinterpret_cast<Runtime*>(&first_); }
  Runtime* second() { return reinterpret_cast<Runtime*>(&second_); }

  char first_ = 0, second_ = 0;
  char low_[4096], high_[4096];
};

TEST_F(MemoryOwnerTest, AnAddressIsItsRuntimesAndNobodyElses) {
  EXPECT_FALSE(IsOwned(low_));
  AddMemoryOwner(first(), low_, kBytes);
  AddMemoryOwner(second(), high_, kBytes);
  EXPECT_EQ(MemoryOwner(low_ + 4095).runtime(), first());
  EXPECT_EQ(MemoryOwner(high_).runtime(), second());
  EXPECT_TRUE(IsOwned(high_ + 4095));
  int foreign = 0;
  for (const void* address : {static_cast<const void*>(&foreign), static_cast<const void*>(nullptr),
                              reinterpret_cast<const void*>(&IsOwnedWithin)}) {
    EXPECT_FALSE(IsOwned(address));
    EXPECT_EQ(MemoryOwner(address).runtime(), nullptr);
  }
  RemoveMemoryOwner(first());
  EXPECT_FALSE(IsOwned(low_));
  EXPECT_EQ(MemoryOwner(low_).runtime(), nullptr);
  EXPECT_EQ(MemoryOwner(high_).runtime(), second());
}

TEST_F(MemoryOwnerTest, ThePlaceOfOneThatWentIsTakenByTheNext) {
  for (int i = 0; i < 200; ++i) {
    AddMemoryOwner(first(), low_, kBytes);
    EXPECT_EQ(MemoryOwner(low_).runtime(), first());
    RemoveMemoryOwner(first());
    AddMemoryOwner(second(), low_, kBytes);
    EXPECT_EQ(MemoryOwner(low_).runtime(), second());
    RemoveMemoryOwner(second());
  }
}

TEST_F(MemoryOwnerTest, ARuntimeGoesWhenNoCallIsAtItAnyMore) {
  AddMemoryOwner(first(), low_, kBytes);
  auto call = std::make_unique<MemoryOwner>(low_);
  std::atomic<bool> gone{false};
  std::thread remover([&] {
    RemoveMemoryOwner(first());
    gone.store(true);
  });
  while (IsOwned(low_)) std::this_thread::yield();
  EXPECT_EQ(MemoryOwner(low_).runtime(), nullptr) << "no new call may come to it";
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(gone.load()) << "it went under a call";
  call.reset();
  remover.join();
}

TEST_F(MemoryOwnerTest, AForkedChildWaitsForNoThreadThatItDoesNotHave) {
  AddMemoryOwner(first(), low_, kBytes);
  const MemoryOwner call(low_);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(10);
    ForgetMemoryUsersAfterFork();
    RemoveMemoryOwner(first());
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "it waited";
}

}  // namespace
}  // namespace thermocline::runtime

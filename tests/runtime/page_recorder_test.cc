#include "src/runtime/page_recorder.h"

#include <gtest/gtest.h>

#include <vector>

namespace thermocline::runtime {
namespace {

using os::FaultAccess;

// Addresses only: nothing is touched.
char* const kSmall = reinterpret_cast<char*>(0x7000'0000);
char* const kLarge = reinterpret_cast<char*>(0x7100'0000);
constexpr Bytes kSmallBytes = KiB(252);
constexpr Bytes kLargeBytes = KiB(256 + 4);

class PageRecorderTest : public ::testing::Test {
 protected:
  PageRecorderTest() : tensors_(2) {
    recorder_.AddTensor(kLarge, kLargeBytes, 1);
    recorder_.AddTensor(kSmall, kSmallBytes, 0);
  }
  int64_t WindowAt(char* address, FaultAccess access = FaultAccess::kRead) {
    const auto window = recorder_.OnTouch(address, access);
    EXPECT_LE(window.begin, address);
    EXPECT_GT(window.end, address);
    return window.end - window.begin;
  }
  PageRecorder recorder_;
  std::vector<profile::Tensor> tensors_;
};

TEST_F(PageRecorderTest, TheGrainIs4KiBBelow256KiBAnd64KiBFromThereOn) {
  EXPECT_EQ(WindowAt(kSmall), 4096);
  EXPECT_EQ(WindowAt(kSmall + kSmallBytes.count() - 1), 4096);
  EXPECT_EQ(WindowAt(kLarge + 70'000), 65536);
  EXPECT_EQ(WindowAt(kLarge + kLargeBytes.count() - 1), 4096) << "the last window ends with the tensor";
  EXPECT_EQ(WindowAt(kLarge + kLargeBytes.count()), 4096) << "no tensor: one page";
}

TEST_F(PageRecorderTest, ReadsAndWritesAreCountedApartAndBelongToTheirLayer) {
  for (int i = 0; i < 3; ++i) WindowAt(kSmall + i * 4096);
  WindowAt(kLarge, FaultAccess::kWrite);
  EXPECT_EQ(recorder_.touches(), 4);
  recorder_.EndLayer(LayerId(4), &tensors_);
  EXPECT_EQ(recorder_.touches(), 0);
  WindowAt(kSmall, FaultAccess::kWrite);
  recorder_.EndLayer(LayerId(5), &tensors_);
  recorder_.EndLayer(LayerId(6), &tensors_);
  ASSERT_EQ(tensors_[0].accesses.size(), 2u);
  const profile::Access& read = tensors_[0].accesses[0];
  EXPECT_EQ(read.layer, LayerId(4));
  EXPECT_TRUE(read.read && !read.write && !read.overwrite);
  EXPECT_EQ(read.pages, 3);
  const profile::Access& written = tensors_[0].accesses[1];
  EXPECT_EQ(written.layer, LayerId(5));
  EXPECT_TRUE(!written.read && written.write && !written.overwrite);
  ASSERT_EQ(tensors_[1].accesses.size(), 1u);
}

TEST_F(PageRecorderTest, OnlyATensorWhoseEveryWindowIsWrittenFirstIsOverwritten) {
  for (int64_t at = 0; at < kLargeBytes.count(); at += 65536) WindowAt(kLarge + at, FaultAccess::kWrite);
  for (int64_t at = 4096; at < kSmallBytes.count(); at += 4096) WindowAt(kSmall + at, FaultAccess::kWrite);
  WindowAt(kSmall);
  WindowAt(kSmall, FaultAccess::kWrite);
  recorder_.EndLayer(LayerId(0), &tensors_);
  EXPECT_TRUE(tensors_[1].accesses.at(0).overwrite);
  EXPECT_FALSE(tensors_[0].accesses.at(0).overwrite);
}

TEST_F(PageRecorderTest, WhatWasSeenOfAFreedTensorIsKeptForTheLayer) {
  WindowAt(kSmall);
  recorder_.RemoveTensor(kSmall);
  recorder_.RemoveTensor(kSmall + 64);  // none begins there
  std::vector<profile::Tensor> tensors(3);
  recorder_.AddTensor(kSmall, kSmallBytes, 2);
  WindowAt(kSmall, FaultAccess::kWrite);
  recorder_.EndLayer(LayerId(1), &tensors);
  ASSERT_EQ(tensors[0].accesses.size(), 1u);
  EXPECT_TRUE(tensors[0].accesses[0].read);
  ASSERT_EQ(tensors[2].accesses.size(), 1u);
  EXPECT_TRUE(tensors[2].accesses[0].write);
  recorder_.EndLayer(LayerId(2), &tensors);
  EXPECT_EQ(tensors[0].accesses.size(), 1u) << "once";
}

}  // namespace
}  // namespace thermocline::runtime

// A slow tier that takes no more for today: the start-up measurement leaves it to the program, and past it allocations
// fail and no byte is lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "src/runtime/runtime.h"

namespace thermocline {
namespace {

constexpr int64_t kTensor = 256 << 10;

std::unique_ptr<runtime::Runtime> WithCap(const std::string& cap) {
  runtime::RawSettings raw;
  raw.fast = "4MiB";
  raw.slow = "file:/var/tmp,daily_writes=" + cap;
  raw.granule_bytes = KiB(64).count();
  auto settings = ReadSettings(raw, [](const char*) { return std::nullopt; });
  EXPECT_TRUE(settings.ok()) << settings.status();
  auto runtime = runtime::Runtime::Create(*settings);
  EXPECT_TRUE(runtime.ok()) << runtime.status();
  return runtime.ok() ? *std::move(runtime) : nullptr;
}

TEST(DailyCapTest, TheMeasurementIsNeitherTheNetworksPeakNorItsDay) {
  for (const char* cap : {"256KiB", "32MiB"}) {
    const auto runtime = WithCap(cap);
    ASSERT_NE(runtime, nullptr) << cap;
    EXPECT_EQ(runtime->Stats().residency.peak_frames, 0) << cap;
    EXPECT_GT(runtime->machine().slow.at(0).out.rate(), 0) << cap;
  }
}

TEST(DailyCapTest, PastItAllocationsFailAndNoByteIsLost) {
  const auto runtime = WithCap("32MiB");
  ASSERT_NE(runtime, nullptr);
  std::vector<char*> tensors;
  while (auto* tensor = static_cast<char*>(runtime->Allocate(Bytes(kTensor), Bytes(64)))) {
    std::memset(tensor, static_cast<int>(tensors.size()), kTensor);
    tensors.push_back(tensor);
    ASSERT_LE(std::ssize(tensors) * kTensor, (36 << 20));
  }
  EXPECT_GE(std::ssize(tensors) * kTensor, (28 << 20)) << "the measurement took more than an eighth of the day";
  // What is freed makes room for what is away.
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(runtime->Free(tensors.back()));
    tensors.pop_back();
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const char fill = static_cast<char>(i);
    EXPECT_TRUE(std::all_of(tensors[i], tensors[i] + kTensor, [=](char c) { return c == fill; })) << i;
  }
  EXPECT_LE(runtime->Stats().residency.peak_frames, 64);
  for (char* tensor : tensors) ASSERT_TRUE(runtime->Free(tensor));
}

}  // namespace
}  // namespace thermocline

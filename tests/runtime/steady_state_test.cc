// What a placed step does not do once all is settled. With fast memory to spare it moves nothing and waits for nothing;
// and whatever moves, frames are handed on with their pages: the kernel neither zeroes them again nor faults them in.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <memory>
#include <vector>

#include "src/runtime/runtime.h"
#include "tests/runtime/network_on_runtime.h"

namespace thermocline::runtime {
namespace {

constexpr int64_t kPage = 4096;

// Page faults of this process that the kernel resolved.
int64_t PageFaults() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

std::unique_ptr<Runtime> Make(Bytes fast) {
  auto runtime = Runtime::Create(SmallSettings("emulated:in=4GB/s,out=4GB/s", fast, "lookahead"));
  EXPECT_TRUE(runtime.ok()) << runtime.status();
  return runtime.ok() ? *std::move(runtime) : nullptr;
}

TEST(SteadyState, WithFastMemoryToSpareNothingMovesNobodyWaitsAndNoPageIsFaultedIn) {
  const auto runtime = Make(MiB(24));
  ASSERT_NE(runtime, nullptr);
  SmallNetwork network(On(*runtime), kNetworkLayers, kNetworkWidth);
  int step = 0;
  while (step < 10) network.Step(step++);  // profiled, planned, and planned again by what its layers took
  const RuntimeStats before = runtime->Stats();
  const int64_t faults_before = PageFaults();
  while (step < 20) network.Step(step++);
  const int64_t faults = PageFaults() - faults_before;
  const RuntimeStats after = runtime->Stats();
  EXPECT_GT(after.matched, before.matched);
  EXPECT_EQ(after.mover.bytes_in, before.mover.bytes_in);
  EXPECT_EQ(after.mover.bytes_out, before.mover.bytes_out);
  EXPECT_EQ(after.residency.exposed_nanos, before.residency.exposed_nanos);
  EXPECT_EQ(after.residency.faults, before.residency.faults);
  // A step's tensors are about 30 MiB, one after the other.
  EXPECT_LT(faults, MiB(30).count() / kPage) << "in ten steps";
}

TEST(SteadyState, FramesAreHandedOnWithTheirPages) {
  constexpr int kTensors = 8;
  constexpr Bytes kBytes = KiB(512);
  const auto runtime = Make(MiB(2));
  ASSERT_NE(runtime, nullptr);
  std::vector<char*> tensors;
  for (int i = 0; i < kTensors; ++i) {
    tensors.push_back(static_cast<char*>(runtime->Allocate(kBytes, Bytes(64))));
    std::memset(tensors[i], i + 1, kBytes.count());
  }
  const auto step = [&] {
    ASSERT_TRUE(runtime->BeginStep().ok());
    for (int i = 0; i < kTensors; ++i) {
      ASSERT_TRUE(runtime->AddLayer("").ok());
      int64_t wrong = 0;
      for (int64_t at = 0; at < kBytes.count(); ++at) wrong += tensors[i][at] != i + 1;
      EXPECT_EQ(wrong, 0);
    }
    ASSERT_TRUE(runtime->EndStep().ok());
  };
  for (int i = 0; i < 10; ++i) step();
  const Bytes in_before = runtime->Stats().mover.bytes_in;
  const int64_t faults_before = PageFaults();
  for (int i = 0; i < 20; ++i) step();
  const int64_t faults = PageFaults() - faults_before;
  const int64_t pages = (runtime->Stats().mover.bytes_in - in_before).count() / kPage;
  ASSERT_GT(pages, 20 * MiB(1).count() / kPage) << "hardly anything moved";
  EXPECT_LT(faults, pages / 8) << "of " << pages << " pages that came";
}

}  // namespace
}  // namespace thermocline::runtime

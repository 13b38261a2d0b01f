// A small runtime behind the public C API, for the ways in that end there: a budget of 4 MiB, an emulated slow tier.
#ifndef THERMOCLINE_TESTS_CONFORMANCE_RUNTIME_UNDER_TEST_H_
#define THERMOCLINE_TESTS_CONFORMANCE_RUNTIME_UNDER_TEST_H_

#include <cstdlib>
#include <string>

#include "tests/conformance/allocator_conformance.h"
#include "thermocline/runtime.h"

namespace thermocline {

class RuntimeUnderTest : public AllocatorUnderTest {
 public:
  static constexpr char kFast[] = "4MiB", kSlow[] = "emulated:in=4GB/s,out=4GB/s,latency=10us,capacity=128MiB";

  static std::unique_ptr<Runtime> Make() {
    setenv("THERMOCLINE_LINK", "in=4GB/s,out=4GB/s", 1);  // known, so that the start needs no measurement
    return Runtime::Create({.fast = kFast, .slow = kSlow, .granule_bytes = 64 << 10});
  }
  explicit RuntimeUnderTest(tc_runtime* runtime) : runtime_(runtime) {}

  size_t UsableBytes(void* pointer, size_t) override { return tc_usable_size(runtime_, pointer); }
  std::string FreeWrongly(void* pointer) override {
    // Whatever the last error was, it is another one now.
    tc_get_stats(runtime_, nullptr);
    const std::string before = tc_last_error();
    Free(pointer, 0);
    return tc_last_error() == before ? "" : tc_last_error();
  }
  size_t budget() const override { return Stats().fast_budget_bytes; }
  size_t peak_fast_bytes() const override { return Stats().peak_fast_bytes; }

 protected:
  tc_stats Stats() const {
    tc_stats stats{};
    stats.struct_size = sizeof(stats);
    tc_get_stats(runtime_, &stats);
    return stats;
  }

  tc_runtime* const runtime_;
};

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_CONFORMANCE_RUNTIME_UNDER_TEST_H_

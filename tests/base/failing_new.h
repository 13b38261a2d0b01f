// NoMemory: operator new fails on this thread while it lives, as where the system has no memory left. For tests that
// link failing_new.cc, which replaces operator new for the whole program.
//
// Thread safety: each thread has its own; one at a time.
#ifndef THERMOCLINE_TESTS_BASE_FAILING_NEW_H_
#define THERMOCLINE_TESTS_BASE_FAILING_NEW_H_

#include <cstdint>

namespace thermocline::testing {

class NoMemory {
 public:
  // The next so many allocations still succeed.
  explicit NoMemory(int64_t but = 0);
  ~NoMemory();
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;

  // Allocations of this thread that have failed.
  static int64_t failed();
};

}  // namespace thermocline::testing

#endif  // THERMOCLINE_TESTS_BASE_FAILING_NEW_H_

#include "tests/conformance/profiler_conformance.h"
#include "tests/conformance/profiler_step_conformance.h"

namespace thermocline {

INSTANTIATE_TEST_SUITE_P(Userfaultfd, ProfilerConformance, ::testing::Values("userfaultfd"));

}  // namespace thermocline

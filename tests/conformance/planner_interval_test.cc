#include "tests/conformance/planner_conformance.h"

namespace thermocline::plan {

INSTANTIATE_TEST_SUITE_P(Interval, PlannerConformance, ::testing::Values(PlannerCase{"interval", true}));

}  // namespace thermocline::plan

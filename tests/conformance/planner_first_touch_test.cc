#include "tests/conformance/planner_conformance.h"

namespace thermocline::plan {

INSTANTIATE_TEST_SUITE_P(FirstTouch, PlannerConformance, ::testing::Values(PlannerCase{"first_touch", false}));

}  // namespace thermocline::plan

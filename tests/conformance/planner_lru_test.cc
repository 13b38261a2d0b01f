#include "tests/conformance/planner_conformance.h"

namespace thermocline::plan {

INSTANTIATE_TEST_SUITE_P(Lru, PlannerConformance, ::testing::Values(PlannerCase{"lru", false}));

}  // namespace thermocline::plan

#include "tests/conformance/planner_conformance.h"

namespace thermocline::plan {

INSTANTIATE_TEST_SUITE_P(Lookahead, PlannerConformance, ::testing::Values(PlannerCase{"lookahead", true}));

}  // namespace thermocline::plan

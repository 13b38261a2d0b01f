#include "tests/conformance/planner_conformance.h"

namespace thermocline::plan {

INSTANTIATE_TEST_SUITE_P(Lagrangian, PlannerConformance, ::testing::Values(PlannerCase{"lagrangian", true}));

}  // namespace thermocline::plan

/* The scenarios of a program that knows nothing of Thermocline. */
#include "tests/adapters/calls/scenario.h"
#include "tests/adapters/preload/memory_scenarios.h"

static const struct Scenario kScenarios[] = {
    CALL_SCENARIOS,
    {"Integrity", Integrity},
    {"Threads", Threads},
    {"Resizing", Resizing},
    {"Zeroes", Zeroes},
    {"Alignments", Alignments},
    {"DoubleFree", DoubleFree},
    {"ForkedCopies", ForkedCopies},
    {"ForkedAllocations", ForkedAllocations},
    {"Advice", Advice},
    {"LockedMemory", LockedMemory},
    {"ThreadStack", ThreadStack},
    {"Overflows", Overflows},
    {"Rhythm", Rhythm},
};

int main(int argc, char** argv) {
  return RunScenario(kScenarios, sizeof(kScenarios) / sizeof(kScenarios[0]), argc, argv);
}

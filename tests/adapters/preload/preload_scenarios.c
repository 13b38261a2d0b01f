/* The scenarios of a program that knows nothing of Thermocline. */
#include "tests/adapters/calls/scenario.h"
#include "tests/adapters/preload/memory_scenarios.h"

static const struct Scenario kScenarios[] = {
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
    {"RawCall", RawCall},
    {"Reads", Reads},
    {"Writes", Writes},
    {"Streams", Streams},
    {"StreamBuffer", StreamBuffer},
    {"Sockets", Sockets},
    {"RandomBytes", RandomBytes},
    {"ReadWithFullBudget", ReadWithFullBudget},
    {"ShortReads", ShortReads},
    {"FileReads", FileReads},
    {"FileWrites", FileWrites},
    {"StreamReads", StreamReads},
    {"StreamBuffers", StreamBuffers},
    {"Datagrams", Datagrams},
    {"Messages", Messages},
    {"CheckedBuffers", CheckedBuffers},
    {"HandlerBefore", HandlerBefore},
    {"HandlerAfter", HandlerAfter},
    {"HandlerSeen", HandlerSeen},
    {"BlockedEverything", BlockedEverything},
    {"BlockedInAThread", BlockedInAThread},
    {"MaskCalls", MaskCalls},
    {"WaitCalls", WaitCalls},
    {"MaskOfAThreadToCome", MaskOfAThreadToCome},
    {"OldHandlerAfter", OldHandlerAfter},
    {"HandlerMask", HandlerMask},
    {"WildPointer", WildPointer},
    {"SentSignal", SentSignal},
};

int main(int argc, char** argv) {
  return RunScenario(kScenarios, sizeof(kScenarios) / sizeof(kScenarios[0]), argc, argv);
}

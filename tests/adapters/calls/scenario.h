/* What the scenarios share. Each is a program's worth of behaviour in one function: it returns when all was right, and
 * ends the process with status 1 and a line on stderr when something was not. */
#ifndef THERMOCLINE_TESTS_ADAPTERS_CALLS_SCENARIO_H_
#define THERMOCLINE_TESTS_ADAPTERS_CALLS_SCENARIO_H_

#include <stddef.h>

#define MIB ((size_t)1 << 20)

#define CHECK(condition)                                    \
  do {                                                      \
    if (!(condition)) Fail(__FILE__, __LINE__, #condition); \
  } while (0)

void Fail(const char* file, int line, const char* what);

/* Says on stderr what is tried next, so that a process that is killed there has said it. */
void Case(const char* name);

/* Bytes that tell where they belong. */
void Fill(void* memory, size_t bytes, unsigned seed);
int Matches(const void* memory, size_t bytes, unsigned seed);

/* Touches so much other memory that everything else is in the slow tier, with any budget up to 4 MiB. */
void EvictEverything(void);

/* A file without a name that holds the bytes of Fill(bytes, seed), at its beginning. */
int FilledFile(size_t bytes, unsigned seed);

struct Scenario {
  const char* name;
  void (*run)(void);
};
/* main: runs the scenario that the one argument names. Returns the exit status. */
int RunScenario(const struct Scenario* scenarios, size_t count, int argc, char** argv);

/* call_scenarios.c */
void RawCall(void);
void Reads(void);
void Writes(void);
void Streams(void);
void StreamBuffer(void);
void Sockets(void);
void RandomBytes(void);
void ReadWithFullBudget(void);
void ShortReads(void);

/* each_call_scenarios.c */
void FileReads(void);
void FileWrites(void);
void StreamReads(void);
void StreamBuffers(void);
void Datagrams(void);
void Messages(void);
void CheckedBuffers(void);

/* mask_scenarios.c */
void MaskCalls(void);
void WaitCalls(void);
void MaskOfAThreadToCome(void);

/* signal_scenarios.c */
void HandlerBefore(void);
void HandlerAfter(void);
void HandlerSeen(void);
void BlockedEverything(void);
void BlockedInAThread(void);
void OldHandlerAfter(void);
void HandlerMask(void);
void WildPointer(void);
void SentSignal(void);

/* All of these, for a program's table: each is tried with either library in front of the C library. */
/* clang-format off */
#define CALL_SCENARIOS \
  {"RawCall", RawCall}, \
  {"Reads", Reads}, \
  {"Writes", Writes}, \
  {"Streams", Streams}, \
  {"StreamBuffer", StreamBuffer}, \
  {"Sockets", Sockets}, \
  {"RandomBytes", RandomBytes}, \
  {"ReadWithFullBudget", ReadWithFullBudget}, \
  {"ShortReads", ShortReads}, \
  {"FileReads", FileReads}, \
  {"FileWrites", FileWrites}, \
  {"StreamReads", StreamReads}, \
  {"StreamBuffers", StreamBuffers}, \
  {"Datagrams", Datagrams}, \
  {"Messages", Messages}, \
  {"CheckedBuffers", CheckedBuffers}, \
  {"MaskCalls", MaskCalls}, \
  {"WaitCalls", WaitCalls}, \
  {"MaskOfAThreadToCome", MaskOfAThreadToCome}, \
  {"HandlerBefore", HandlerBefore}, \
  {"HandlerAfter", HandlerAfter}, \
  {"HandlerSeen", HandlerSeen}, \
  {"BlockedEverything", BlockedEverything}, \
  {"BlockedInAThread", BlockedInAThread}, \
  {"OldHandlerAfter", OldHandlerAfter}, \
  {"HandlerMask", HandlerMask}, \
  {"WildPointer", WildPointer}, \
  {"SentSignal", SentSignal}
/* clang-format on */

#endif /* THERMOCLINE_TESTS_ADAPTERS_CALLS_SCENARIO_H_ */

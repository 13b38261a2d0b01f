/* Scenarios about malloc and mappings, which only the preload library stands in front of. As in scenario.h. */
#ifndef THERMOCLINE_TESTS_ADAPTERS_PRELOAD_MEMORY_SCENARIOS_H_
#define THERMOCLINE_TESTS_ADAPTERS_PRELOAD_MEMORY_SCENARIOS_H_

void Integrity(void);
void Threads(void);
void Resizing(void);
void Zeroes(void);
void Alignments(void);
void DoubleFree(void);
void ForkedCopies(void);
void ForkedAllocations(void);
void Advice(void);
void LockedMemory(void);
void ThreadStack(void);
void Overflows(void);
void Rhythm(void);

#endif /* THERMOCLINE_TESTS_ADAPTERS_PRELOAD_MEMORY_SCENARIOS_H_ */

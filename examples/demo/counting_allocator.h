// Counts the bytes that libtorch requests of its own CPU allocator: what a program's tensors need, whatever malloc
// makes of it.
//
// Thread safety: Install before other threads use libtorch; LiveBytes and PeakBytes from any thread.
#ifndef THERMOCLINE_EXAMPLES_DEMO_COUNTING_ALLOCATOR_H_
#define THERMOCLINE_EXAMPLES_DEMO_COUNTING_ALLOCATOR_H_

#include <cstdint>

namespace thermocline::demo {

void InstallCountingAllocator();
// Largest sum of requested bytes that were live at one time, since the start.
int64_t CountedPeakBytes();

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_COUNTING_ALLOCATOR_H_

// AccessRecorder: is told, while a step is profiled, which parts of which granules are touched.
//
// Thread safety: called under the residency lock, also on faulting threads in a signal handler: it may not allocate,
// wait or touch tensor memory. Ownership: not taken.
#ifndef THERMOCLINE_ARENA_ACCESS_RECORDER_H_
#define THERMOCLINE_ARENA_ACCESS_RECORDER_H_

#include "src/os/fault_signal.h"

namespace thermocline::arena {

class AccessRecorder {
 public:
  virtual ~AccessRecorder() = default;

  struct Window {
    char* begin = nullptr;
    char* end = nullptr;
  };
  // A touch at `address`, the first of its kind in its window since the granules were last closed. Returns the window
  // around the address to be opened: whole 4 KiB pages; it is cut to the granule.
  virtual Window OnTouch(char* address, os::FaultAccess access) = 0;
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_ACCESS_RECORDER_H_

// What libthermocline.so says of itself: a program that is linked with it is watched from its first runtime on, and
// runs as without the library before. (THERMOCLINE=off never makes one.)

#include "src/adapters/calls/calls.h"
#include "src/adapters/calls/real_calls.h"
#include "src/os/fault_signal.h"

namespace thermocline::calls {
namespace {

// Before a signal handler may need them.
__attribute__((constructor)) void LookUpRealCalls() { Real(); }

}  // namespace

bool IsWatching() { return os::FaultSignalsInstalled(); }

}  // namespace thermocline::calls

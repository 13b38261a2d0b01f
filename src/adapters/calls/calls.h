// Calls: what libthermocline.so and the preload library share, the C library's calls that they stand in front of.
//
// A call with a tensor in it keeps the tensor resident as long as it runs (resident_transfer.h), and one about SIGSEGV
// or SIGBUS leaves the runtime's handler where it is (signals.cc). All others go straight to the next library. Both
// libraries may be in one process: whichever comes first then has the C API too, and the other one no runtime. Thread
// safety: any thread. Errors: as the C library's.
#ifndef THERMOCLINE_ADAPTERS_CALLS_CALLS_H_
#define THERMOCLINE_ADAPTERS_CALLS_CALLS_H_

#define THERMOCLINE_INTERPOSED extern "C" __attribute__((visibility("default")))
// In a function that is interposed: the call comes from this library's own code. The runtime's own calls are let
// through as they are, for their buffers are frames, not tensors.
#define THERMOCLINE_FROM_RUNTIME thermocline::calls::IsOwnCode(__builtin_return_address(0))

// initial-exec: other models allocate on a thread's first access.
#define THERMOCLINE_CALLS_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))

namespace thermocline::calls {

// Whether signals are watched. Each library says for itself from when on.
bool IsWatching();

// Whether the address of an instruction is in this library, the runtime included.
bool IsOwnCode(const void* instruction);

}  // namespace thermocline::calls

#endif  // THERMOCLINE_ADAPTERS_CALLS_CALLS_H_

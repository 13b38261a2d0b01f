// Thermocline under libtorch: the CPU tensors of a C++ program in a runtime's memory, and its operators as layers.
//
//   // Never destroyed: tensors outlive main.
//   auto* runtime = thermocline::Runtime::Create({.fast = "200MiB"}).release();
//   thermocline::torch::InstallAllocator(runtime);
//   thermocline::torch::MarkOperators(runtime);
//   for (int step = 0; step < steps && runtime->BeginStep().ok(); ++step) {
//     Train();  // forward, backward, optimizer, zero_grad
//     if (!runtime->EndStep().ok() || !thermocline::torch::TakeMarkError().ok()) break;
//   }
//
// Thread safety: call both functions from one thread, before others use libtorch: its allocator and its global
// callbacks are unsynchronised globals. Once installed, tensors may be made and freed by any thread.
//
// Ownership: the runtime must never be destroyed: tensors in static storage are freed after main returns.
//
// Errors: c10::Error for a second runtime; c10::OutOfMemoryError from an allocation when neither tier has room.
//
// Works with PyTorch 2.15 (the PyPI wheel) and 1.13 (Debian 12). Compile what includes libtorch's headers with
// -DNDEBUG.
#ifndef THERMOCLINE_TORCH_H_
#define THERMOCLINE_TORCH_H_

#include <cstddef>

#include "thermocline/runtime.h"

namespace thermocline::torch {

// Every CPU tensor from now on lies in `runtime`'s memory, the scratch of oneDNN's convolutions included. Not covered,
// as libtorch does not ask its allocator for them: from_blob, shared and pinned memory. Calling it again with the same
// runtime does nothing.
TC_EXPORT void InstallAllocator(Runtime* runtime);

struct MarkOptions {
  // An operator that takes fewer bytes of tensors than this begins no layer: it belongs to the layer that runs.
  std::size_t min_layer_bytes = 256 << 10;
  // Tell the runtime, just before each such operator, which ranges it will read and write (tc_touch).
  bool touch = true;
};

// From now on each operator that does work, forward, backward and in the optimizer, begins a layer when the thread that
// called this runs it. Views and operators that are made of others begin none; what they call does. libtorch runs the
// backward pass of CPU graphs on the thread that asks for it, so those operators count as well.
TC_EXPORT void MarkOperators(Runtime* runtime, const MarkOptions& options = {});

// The first error that a mark met since the last call (a slow tier that could not be read, say); ok when there was
// none. libtorch swallows what its callbacks throw, so ask once a step.
TC_EXPORT Status TakeMarkError();

}  // namespace thermocline::torch

#endif  // THERMOCLINE_TORCH_H_

// What a tc_runtime is.
//
// Thread safety: as runtime::Runtime. Ownership: the C API's caller, or nobody for the default one.
#ifndef THERMOCLINE_CAPI_HANDLE_H_
#define THERMOCLINE_CAPI_HANDLE_H_

#include <memory>

#include "src/runtime/runtime.h"

struct tc_runtime {
  std::unique_ptr<thermocline::runtime::Runtime> runtime;  // nullptr: a pass-through to malloc (THERMOCLINE=off)
  bool is_default = false;
};

#endif  // THERMOCLINE_CAPI_HANDLE_H_

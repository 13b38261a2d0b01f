#include "src/adapters/calls/calls.h"

// The linker's names for where this library begins and where its instructions end.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];
extern "C" __attribute__((visibility("hidden"))) const char etext[];

namespace thermocline::calls {

bool IsOwnCode(const void* instruction) {
  const char* at = static_cast<const char*>(instruction);
  return at >= __ehdr_start && at < etext;
}

}  // namespace thermocline::calls

// Memory: the memory-mapping calls that the arena needs, so that tests can make them fail.
//
// A frame is a granule-sized piece of anonymous memory that moves between addresses without a copy: `Attach` moves it
// from its home to a tensor's address, `Detach` back. Between the two, the tensor's address is a hole: a touch faults.
// Thread safety: any thread, and signal handlers. Errors: an errno, 0 for success.
#ifndef THERMOCLINE_OS_MEMORY_H_
#define THERMOCLINE_OS_MEMORY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "src/base/units.h"

namespace thermocline::os {

enum class Protection : uint8_t { kNone, kRead, kReadWrite };

class Memory {
 public:
  virtual ~Memory() = default;

  // Address space in which nothing is mapped and into which no other mmap falls. Never returned to the system but by
  // Unmap.
  virtual absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) = 0;
  // Fresh zeroed memory at a reserved address. It takes no physical page before it is touched.
  virtual int MapFresh(char* at, Bytes size, bool huge_pages) = 0;
  virtual int Attach(char* home, char* at, Bytes size, Protection protection) = 0;
  // The frame is readable and writable at its home afterwards.
  virtual int Detach(char* at, char* home, Bytes size) = 0;
  virtual int Protect(char* at, Bytes size, Protection protection) = 0;
  // Makes one huge page of each 2 MiB again, after parts of them had mappings of their own. Best effort: kernels before
  // 6.1 can't, and everything works the same without.
  virtual void Collapse(char* at, Bytes size) = 0;
  // Gives the physical pages back; they read as zeros afterwards.
  virtual int Discard(char* at, Bytes size) = 0;
  virtual int Unmap(char* at, Bytes size) = 0;
};

// The real calls. Never destroyed.
Memory& RealMemory();

// What the kernel allows a process in mappings (/proc/sys/vm/max_map_count), 65530 when it can't be read.
int64_t MaxMapCount();
// Physical memory of the machine.
Bytes PhysicalMemory();

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_MEMORY_H_

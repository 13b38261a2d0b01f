// Memory: the memory-mapping calls that the arena needs, so that tests can make them fail.
//
// A frame is a granule-sized piece of anonymous memory that moves between addresses without a copy: `Attach` moves it
// from its home to a tensor's address, `Detach` back. Between the two, the tensor's address is a hole: a touch faults.
// What a WatchedMemory (watched_memory.h) adds to that has a default here that adds nothing.
// Thread safety: any thread, and signal handlers. Errors: an errno, 0 for success.
#ifndef THERMOCLINE_OS_MEMORY_H_
#define THERMOCLINE_OS_MEMORY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/units.h"

namespace thermocline::os {

enum class Protection : uint8_t { kNone, kRead, kReadWrite };

// A touch or a system call that the kernel holds until it is answered.
struct WatchedFault {
  char* address = nullptr;  // of its page
  bool write = false;
  bool write_protected = false;  // a page is there, but may not be written to; else there was none
  int64_t began_nanos = 0;       // the handler's: when it began to wait
};

class WatchedFaultHandler {
 public:
  virtual ~WatchedFaultHandler() = default;
  enum class Answer : uint8_t {
    kDone,  // the access may be tried again
    kWait,  // ask again after NotifyWaiters, or in a while
    kBusy,  // a lock is held: ask again soon
  };
  // On a thread with all signals blocked, which may not wait: whoever holds the owner's lock may wait for it.
  virtual Answer OnWatchedFault(WatchedFault& fault) = 0;
};

class Memory {
 public:
  virtual ~Memory() = default;

  // Address space in which nothing is mapped and into which no other mmap falls. Never returned to the system but by
  // Unmap.
  virtual absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) = 0;
  // Fresh zeroed memory at a reserved address. It takes no physical page before it is touched.
  virtual int MapFresh(char* at, Bytes size, bool huge_pages) = 0;
  virtual int Attach(char* home, char* at, Bytes size, Protection protection) = 0;
  // The frame is readable and writable at its home afterwards. After an error it is at `at`, with a protection that may
  // have changed.
  virtual int Detach(char* at, char* home, Bytes size) = 0;
  virtual int Protect(char* at, Bytes size, Protection protection) = 0;
  // Makes one huge page of each 2 MiB again, after parts of them had mappings of their own. Best effort: kernels before
  // 6.1 can't, and everything works the same without.
  virtual void Collapse(char* at, Bytes size) = 0;
  // Gives the physical pages back; they read as zeros afterwards.
  virtual int Discard(char* at, Bytes size) = 0;
  virtual int Unmap(char* at, Bytes size) = 0;

  // ---- Accesses of the kernel. All are called under the owner's lock; ranges are whole granules of the watched space.
  // The space in which tensors live, once it is reserved and before anything else is done there. Unwatch ends that and
  // unmaps it; it is called without the lock.
  virtual absl::Status Watch(char* /*begin*/, Bytes /*size*/, Bytes /*granule*/, WatchedFaultHandler* /*handler*/) {
    return absl::OkStatus();
  }
  virtual void Unwatch(char* begin, Bytes size) { Unmap(begin, size); }
  // For parts of granules that have protections of their own for a while.
  virtual Memory& Plain() { return *this; }
  // A hole that may be touched: system calls wait there, where that can be had. Detach leaves such a hole.
  virtual void OpenHole(char* /*at*/, Bytes /*size*/) {}
  // Nothing is to be had there: a touch raises SIGSEGV, a system call gets EFAULT; who waits there is woken.
  virtual void CloseHole(char* /*at*/, Bytes /*size*/) {}
  // Read-only from now on, so that it can be copied. EBUSY where the kernel or a device holds the pages and may write
  // past that: it is readable and writable then. ENOTCONN: the frame could not be put back, and is at its home.
  virtual int Freeze(char* at, char* /*home*/, Bytes size) { return Protect(at, size, Protection::kRead); }
  // True when Detach and Freeze tell frames that the kernel or a device holds: both return EBUSY then.
  virtual bool tells_held_frames() const { return false; }
  // A system call or touch found no page in what is mapped: gives it one of zeros, and says if there was none.
  virtual bool FillAbsent(char* /*page*/, bool /*write_protected*/) { return false; }
  // Something has changed that a waiting system call may wait for.
  virtual void NotifyWaiters() {}
  // In a forked child.
  virtual void AbandonAfterFork() {}
};

// Detach's answer when the frame is at its home, but may have been written to since it was protected.
inline constexpr int kMovedButWritten = -1;

// The real calls. Never destroyed.
Memory& RealMemory();

// False where other mappings may fall into holes of what was reserved: they must stay mapped.
bool AddressesAreQuiet();

// What the kernel allows a process in mappings (/proc/sys/vm/max_map_count), 65530 when it can't be read.
int64_t MaxMapCount();
// How many frames can be mapped within that, each on its own: what lies between two is a mapping as well, and the
// program has some of its own.
inline int64_t MostMappedFrames() { return MaxMapCount() / 3; }
// Physical memory of the machine.
Bytes PhysicalMemory();
// What is in memory of a private mapping, which may be far larger: its touched part. `begin` is a page's.
Bytes ResidentBytes(const void* begin, Bytes size);

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_MEMORY_H_

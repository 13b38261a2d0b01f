// AccessGate: how a profiled step closes granules, so that a touch faults, and opens the parts that were touched.
//
// Implementations: ProtectionGate here, by page protection, which works anywhere but makes a mapping of each open part;
// profile::UserfaultGate, by userfaultfd, which leaves each granule one mapping but needs its frames in shared memory.
// Residency uses the first for a granule whose frame is private.
// Thread safety: called under the residency lock, Open in fault handlers too: it may not allocate or wait.
// Ownership: none of the memory. Errors: an errno, 0 for success.
#ifndef THERMOCLINE_ARENA_ACCESS_GATE_H_
#define THERMOCLINE_ARENA_ACCESS_GATE_H_

#include "src/base/units.h"
#include "src/os/fault_signal.h"
#include "src/os/memory.h"

namespace thermocline::arena {

class AccessGate {
 public:
  virtual ~AccessGate() = default;
  // "mprotect", "userfaultfd".
  virtual const char* name() const = 0;
  // True when it works on frames in shared memory only.
  virtual bool needs_shared_frames() const = 0;
  // False where a write of another thread may go unseen at the moment in which a part is opened for reading: it then
  // counts as changed at once.
  virtual bool sees_every_write() const = 0;
  // A whole granule begins to be watched: every touch faults. REQUIRES: it is inaccessible.
  virtual int Arm(char* at, Bytes size) = 0;
  // A part of an armed granule, whole pages: reads go through now and, after a write, writes too.
  virtual int Open(char* at, Bytes size, os::FaultAccess access) = 0;
  // An armed granule, or whole pages of one: every touch faults again.
  virtual int Close(char* at, Bytes size) = 0;
  // It is watched no more: inaccessible, and may move.
  virtual int Disarm(char* at, Bytes size) = 0;
};

class ProtectionGate final : public AccessGate {
 public:
  explicit ProtectionGate(os::Memory& memory) : memory_(memory) {}
  const char* name() const override { return "mprotect"; }
  bool needs_shared_frames() const override { return false; }
  bool sees_every_write() const override { return true; }
  int Arm(char*, Bytes) override { return 0; }
  int Open(char* at, Bytes size, os::FaultAccess access) override {
    return memory_.Protect(at, size,
                           access == os::FaultAccess::kWrite ? os::Protection::kReadWrite : os::Protection::kRead);
  }
  int Close(char* at, Bytes size) override { return memory_.Protect(at, size, os::Protection::kNone); }
  int Disarm(char* at, Bytes size) override { return memory_.Protect(at, size, os::Protection::kNone); }

 private:
  os::Memory& memory_;
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_ACCESS_GATE_H_

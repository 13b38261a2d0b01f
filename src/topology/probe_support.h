// What the probes share: a descriptor and a mapping that close themselves, and words for the kernel's answers.
//
// Thread safety: values of one thread. Errors: an errno's name and meaning, in words.
#ifndef THERMOCLINE_TOPOLOGY_PROBE_SUPPORT_H_
#define THERMOCLINE_TOPOLOGY_PROBE_SUPPORT_H_

#include <sys/mman.h>
#include <sys/syscall.h>

#include <string>

#include "src/base/probe_record.h"
#include "src/base/units.h"
#include "src/topology/system_calls.h"

namespace thermocline::topology {

// "EPERM (Operation not permitted)" of a failed result of SystemCalls.
std::string ErrnoInWords(long result);

// "call: EPERM (Operation not permitted)".
ProbeRecord RefusedRecord(std::string what, const std::string& call, long result, std::string fallback);
ProbeRecord GrantedRecord(std::string what, std::string answer);

// A descriptor that SystemCalls gave, or the refusal.
class ProbeDescriptor {
 public:
  ProbeDescriptor(const SystemCalls& calls, long result) : calls_(calls), result_(result) {}
  ~ProbeDescriptor() {
    if (ok()) calls_(SYS_close, result_);
  }
  ProbeDescriptor(const ProbeDescriptor&) = delete;
  ProbeDescriptor& operator=(const ProbeDescriptor&) = delete;

  bool ok() const { return !Failed(result_); }
  long result() const { return result_; }

 private:
  const SystemCalls& calls_;
  long result_;
};

// Private anonymous memory, readable and writable, or the refusal.
class ProbeMapping {
 public:
  ProbeMapping(const SystemCalls& calls, Bytes size)
      : calls_(calls),
        size_(size),
        result_(calls(SYS_mmap, nullptr, size.count(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~ProbeMapping() {
    if (ok()) calls_(SYS_munmap, result_, size_.count());
  }
  ProbeMapping(const ProbeMapping&) = delete;
  ProbeMapping& operator=(const ProbeMapping&) = delete;

  bool ok() const { return !Failed(result_); }
  long result() const { return result_; }
  char* data() const { return reinterpret_cast<char*>(result_); }
  // The first address in it that is a multiple of `unit`, a power of two.
  char* AlignedData(Bytes unit) const {
    return reinterpret_cast<char*>((result_ + unit.count() - 1) & ~(unit.count() - 1));
  }

 private:
  const SystemCalls& calls_;
  Bytes size_;
  long result_;
};

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_PROBE_SUPPORT_H_

// NumaSystem: the system calls that the memory tier makes, behind an interface so that tests can fail any one of them
// and play a machine with other nodes.
//
// Thread safety: as the system calls themselves, any thread. CopyFrom is async-signal-safe in the real implementation.
// Errors: every call returns its result, or minus the errno. errno itself is left as it was.
#ifndef THERMOCLINE_TIER_NUMA_SYSTEM_H_
#define THERMOCLINE_TIER_NUMA_SYSTEM_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"

namespace thermocline::tier {

// As the kernel numbers them (linux/mempolicy.h, which not every machine has).
enum class MemoryPolicy : int {
  kDefault = 0,
  kPreferred = 1,
  kBind = 2,
  kInterleave = 3,
  kLocal = 4,
  kPreferredMany = 5,
  kWeightedInterleave = 6,
};

class NumaSystem {
 public:
  virtual ~NumaSystem() = default;

  // Private anonymous memory that takes no page before it is touched. Null when refused, with *error the errno.
  virtual char* Map(int64_t bytes, int* error) = 0;
  virtual int Unmap(char* at, int64_t bytes) = 0;
  // MADV_HUGEPAGE or MADV_NOHUGEPAGE.
  virtual int AdviseHugePages(char* at, int64_t bytes, bool wanted) = 0;
  // Takes writable pages for the whole range (MADV_POPULATE_WRITE, Linux 5.14).
  virtual int Populate(char* at, int64_t bytes) = 0;
  // Gives the range's pages back (MADV_DONTNEED).
  virtual int Discard(char* at, int64_t bytes) = 0;
  // mbind to one node; with `check`, -EIO when a page of the range lies on another one (MPOL_MF_STRICT).
  virtual int Bind(char* at, int64_t bytes, MemoryPolicy policy, int node, bool check) = 0;
  // move_pages of this process: with `node` >= 0 moves the pages there, else only asks. Each status is the node that
  // the page lies on afterwards, or minus an errno.
  virtual int MovePages(absl::Span<void* const> pages, int node, absl::Span<int> status) = 0;
  // The node of the page at `at`, by get_mempolicy.
  virtual int NodeOf(void* at) = 0;
  // This process's memory policy, flags apart, and the nodes that it names, one bit each; *nodes is 0 where it names
  // none.
  virtual int Policy(MemoryPolicy* policy, uint64_t* nodes) = 0;
  // Copies from memory that may not be there any more: -EFAULT then, where memcpy would crash (process_vm_readv).
  virtual int CopyFrom(void* to, const void* from, int64_t bytes) = 0;
  // A whole small file of /proc or /sys; empty where it can't be read.
  virtual std::string ReadText(const char* path) = 0;
  virtual int EventFd() = 0;  // close-on-exec, blocking
};

// The machine's own. Never destroyed.
NumaSystem& RealNumaSystem();

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_NUMA_SYSTEM_H_

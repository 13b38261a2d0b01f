// MemoryCgroup: a group of processes whose memory the kernel counts, page cache and page tables included, and limits.
//
// Thread safety: one thread. Ownership: the destructor removes the group; its processes must have ended.
// Errors: Create says why this machine or user has none.
#ifndef THERMOCLINE_EXAMPLES_DEMO_MEMORY_CGROUP_H_
#define THERMOCLINE_EXAMPLES_DEMO_MEMORY_CGROUP_H_

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>

#include "examples/demo/undo_journal.h"

namespace thermocline::demo {

// Where the kernel's files are; a test has a tree of its own.
struct CgroupTree {
  std::string root;  // stands before /proc and before the mount points that are read there
  // Makes a group; the kernel puts the group's files into it.
  int (*make_folder)(const char* path, mode_t mode) = mkdir;
};

class MemoryCgroup {
 public:
  // nullptr, and the reason in `why_not`, where there is no right or no controller. Uses version 1 or 2, whichever has
  // the memory controller; changes nothing but the new group. REQUIRES: `journal` outlives it.
  static std::unique_ptr<MemoryCgroup> Create(const std::string& name, UndoJournal* journal, std::string* why_not,
                                              const CgroupTree& tree = {});
  ~MemoryCgroup() { journal_->Undo(path_); }

  // "cgroup v1 memory.max_usage_in_bytes", say.
  std::string Describe() const;
  // The file that a process writes its id to in order to join.
  std::string members_file() const { return path_ + "/cgroup.procs"; }
  // Throws std::runtime_error when the kernel refuses.
  void SetLimit(int64_t bytes);
  // At the limit, processes wait until the kernel has found pages to swap out, instead of being killed when it finds
  // none at once (it gives up early when every page was used lately). REQUIRES: SetLimit.
  void WaitAtLimit();
  // Call now and then while processes of such a group run: helps one that waits for good.
  void Unstick();
  // Nothing of the group may be swapped out. Throws std::runtime_error when the kernel refuses.
  void ForbidSwap();
  // False where the kernel does not say how much was charged at most (version 2 before Linux 5.19).
  bool Counts() const { return PeakBytes() >= 0; }
  // The most that was ever charged to the group; -1 where Counts() is false.
  int64_t PeakBytes() const;

 private:
  void Write(const char* name, const std::string& text) const;

  MemoryCgroup(std::string path, bool v1, UndoJournal* journal) : path_(std::move(path)), v1_(v1), journal_(journal) {}

  const std::string path_;
  const bool v1_;
  UndoJournal* const journal_;
  int64_t limit_ = 0;
};

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_MEMORY_CGROUP_H_

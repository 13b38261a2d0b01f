// WatchedMemory: memory whose holes the kernel waits at, and which tells frames that the kernel holds.
//
// Two things, each where the system allows it:
// - Kernel faults (privilege: userfaultfd.h, FaultScope::kKernelFaults; Linux 5.10). A hole is a mapping without pages,
//   registered with userfaultfd. A touch or a system call there sleeps until the handler has answered; the same holds
//   for a write to what is mapped read-only, which is write-protected by userfaultfd instead of by the mapping. A
//   thread of its own reads the faults and asks the handler. No page is ever seen as zeros in between: frames come by
//   mremap over the hole and go by UFFDIO_MOVE or MREMAP_DONTUNMAP, which leave the registered hole behind in one step.
//   A forked child finds no mapping in the place of a hole: it faults.
// - Held frames (no privilege; Linux 6.8). Frames go by UFFDIO_MOVE, which refuses pages that the kernel or a device
//   holds (io_uring's registered buffers, O_DIRECT under way, RDMA). Pages shared with a forked child are refused too:
//   they are copied first.
// Where neither is to be had, RealMemory does it all.
//
// Thread safety: as Memory; all calls but Reserve, FillAbsent and NotifyWaiters come from under the owner's lock.
// Ownership: owns its descriptors and its thread, which ends with Unwatch. Errors: Create says what the system refused;
// the rest as Memory. What can't be registered (the limit on mappings) is a hole without mapping: EFAULT for the
// kernel, SIGSEGV for touches.
#ifndef THERMOCLINE_OS_WATCHED_MEMORY_H_
#define THERMOCLINE_OS_WATCHED_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "src/os/memory.h"
#include "src/os/userfaultfd.h"

namespace thermocline::os {

class WatchedMemory final : public Memory {
 public:
  struct Options {
    bool kernel_faults = false;
    bool held_frames = false;
    int64_t most_loose_holes = -1;  // that stay mappings of their own; -1: a quarter of what the kernel allows
  };
  // What is asked for and can't be had is an error; ask for less then.
  static absl::StatusOr<std::unique_ptr<WatchedMemory>> Create(const Options& options, Memory& real = RealMemory(),
                                                               UserfaultCalls& calls = RealUserfaultCalls());
  ~WatchedMemory() override;

  absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) override { return real_.Reserve(size, alignment); }
  int MapFresh(char* at, Bytes size, bool huge_pages) override { return real_.MapFresh(at, size, huge_pages); }
  int Attach(char* home, char* at, Bytes size, Protection protection) override;
  int Detach(char* at, char* home, Bytes size) override;
  int Protect(char* at, Bytes size, Protection protection) override;
  void Collapse(char* at, Bytes size) override { real_.Collapse(at, size); }
  int Discard(char* at, Bytes size) override { return real_.Discard(at, size); }
  int Unmap(char* at, Bytes size) override { return real_.Unmap(at, size); }

  absl::Status Watch(char* begin, Bytes size, Bytes granule, WatchedFaultHandler* handler) override;
  void Unwatch(char* begin, Bytes size) override;
  Memory& Plain() override { return real_; }
  void OpenHole(char* at, Bytes size) override;
  void CloseHole(char* at, Bytes size) override;
  int Freeze(char* at, char* home, Bytes size) override;
  bool tells_held_frames() const override { return options_.held_frames && !abandoned_; }
  bool FillAbsent(char* page, bool write_protected) override;
  void NotifyWaiters() override;
  void AbandonAfterFork() override;

 private:
  WatchedMemory(const Options& options, Memory& real, Userfaultfd userfaultfd)
      : options_(options), real_(real), userfaultfd_(std::move(userfaultfd)) {}

  bool Serves(const char* at) const {
    return options_.kernel_faults && !abandoned_ && at >= begin_ && at < begin_ + size_.count();
  }
  int DetachByMove(char* at, char* home, Bytes size);
  int DetachByRemap(char* at, char* home, Bytes size);
  int MoveOrReturn(char* to, char* from, Bytes size);
  void LeaveHole(char* at, Bytes size);
  int RestoreMapped(char* at, Bytes size, int error);
  int MapHome(char* home, Bytes size);
  int MapHole(char* at, Bytes size);
  void JoinHole(char* at, Bytes size);
  int Remap(char* from, char* to, Bytes size, int flags);
  uint8_t& LooseFlag(const char* at) { return loose_flags_[(at - begin_) / granule_.count()]; }
  void SetLoose(const char* at, bool loose);

  // watched_server.cc
  void StopServing();
  void Serve();
  void ReadFaults();
  bool AnswerPending();

  const Options options_;
  Memory& real_;
  Userfaultfd userfaultfd_;
  bool abandoned_ = false;
  char* begin_ = nullptr;
  Bytes size_, granule_;
  // Holes whose mapping the kernel can't join with its neighbours, as a frame came from elsewhere. When there are many,
  // each is replaced by one that it can.
  uint8_t* loose_flags_ = nullptr;
  int64_t loose_ = 0;
  int64_t most_loose_ = 0;
  char* staging_ = nullptr;

  WatchedFaultHandler* handler_ = nullptr;
  std::vector<WatchedFault> pending_;  // the thread's
  std::atomic<bool> waiting_{false};   // some are pending
  std::atomic<bool> stop_{false};
  int notice_ = -1;  // eventfd
  std::thread thread_;
};

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_WATCHED_MEMORY_H_

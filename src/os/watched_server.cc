// The thread of a WatchedMemory: reads faults and asks the handler. Whoever moves a frame may wait, with the owner's
// lock held, until the kernel's message of it has been read: so nothing here may wait for that lock.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "src/os/futex.h"
#include "src/os/watched_memory.h"

namespace thermocline::os {
namespace {

constexpr int kBusyPauseMillis = 1;
constexpr int kWaitPauseMillis = 20;  // should a notice be missed, and for what is asked again without one
constexpr int kBusySpins = 64;
constexpr Bytes kPage{4096};
constexpr int64_t kShareOfMappings = 4;

}  // namespace

absl::Status WatchedMemory::Watch(char* begin, Bytes size, Bytes granule, WatchedFaultHandler* handler) {
  begin_ = begin;
  size_ = size;
  granule_ = granule;
  if (!options_.kernel_faults) return absl::OkStatus();
  void* const flags =
      mmap(nullptr, size / granule, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (flags == MAP_FAILED) return absl::ResourceExhaustedError(absl::StrCat("mmap: ", strerror(errno)));
  loose_flags_ = static_cast<uint8_t*>(flags);
  most_loose_ = options_.most_loose_holes >= 0 ? options_.most_loose_holes : MaxMapCount() / kShareOfMappings;
  absl::StatusOr<char*> staging = real_.Reserve(granule, std::max(granule, MiB(2)));
  if (!staging.ok()) return staging.status();
  staging_ = *staging;
  notice_ = static_cast<int>(syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (notice_ < 0) return absl::ResourceExhaustedError(absl::StrCat("eventfd: ", strerror(errno)));
  handler_ = handler;
  // Signals meant for the program must not land here, and the handler's lock wants them blocked.
  SignalBlock block;
  thread_ = std::thread([this] { Serve(); });
  return absl::OkStatus();
}

void WatchedMemory::Unwatch(char* begin, Bytes size) {
  StopServing();
  real_.Unmap(begin, size);
  begin_ = nullptr;
  userfaultfd_.Forget();  // only now: who waits there is woken, and must not find zeros
  abandoned_ = true;
  if (notice_ >= 0) syscall(SYS_close, std::exchange(notice_, -1));
  if (loose_flags_ != nullptr) munmap(std::exchange(loose_flags_, nullptr), size_ / granule_);
  if (staging_ != nullptr) real_.Unmap(std::exchange(staging_, nullptr), granule_);
}

void WatchedMemory::StopServing() {
  if (thread_.joinable()) {
    stop_.store(true);
    const uint64_t one = 1;
    syscall(SYS_write, notice_, &one, sizeof(one));
    thread_.join();
  }
}

void WatchedMemory::NotifyWaiters() {
  if (!waiting_.load()) return;
  const int saved = errno;
  const uint64_t one = 1;
  syscall(SYS_write, notice_, &one, sizeof(one));
  errno = saved;
}

void WatchedMemory::AbandonAfterFork() {
  // The descriptor speaks of the parent's memory, and the thread does not exist here.
  userfaultfd_.Forget();
  if (thread_.joinable()) thread_.detach();
  waiting_.store(false);
  abandoned_ = true;
}

void WatchedMemory::Serve() {
  bool busy = false;
  for (int spins = 0; !stop_.load();) {
    pollfd ready[] = {{userfaultfd_.descriptor(), POLLIN, 0}, {notice_, POLLIN, 0}};
    int timeout = pending_.empty() ? -1 : kWaitPauseMillis;
    if (busy) timeout = spins++ < kBusySpins ? 0 : kBusyPauseMillis;
    if (!busy) spins = 0;
    poll(ready, 2, timeout);
    if ((ready[1].revents & POLLIN) != 0) {
      uint64_t count;
      syscall(SYS_read, notice_, &count, sizeof(count));
    }
    ReadFaults();
    // From here on a notice is written; one that came before is seen by the asking.
    waiting_.store(!pending_.empty());
    busy = AnswerPending();
    if (pending_.empty()) waiting_.store(false);
  }
}

void WatchedMemory::ReadFaults() {
  UserfaultEvent events[16];
  while (true) {
    const int count = userfaultfd_.ReadEvents(absl::MakeSpan(events));
    if (count <= 0) return;
    for (int i = 0; i < count; ++i) {
      if (events[i].kind != UserfaultEvent::Kind::kFault) continue;  // of a move: that it was read is all
      const uintptr_t address = reinterpret_cast<uintptr_t>(events[i].address) & ~uintptr_t{4095};
      pending_.push_back({reinterpret_cast<char*>(address), events[i].write, events[i].write_protect, 0});
    }
  }
}

// True when some could not be asked for, as the lock was held.
bool WatchedMemory::AnswerPending() {
  bool busy = false;
  std::erase_if(pending_, [&](WatchedFault& fault) {
    if (busy) return false;
    switch (handler_->OnWatchedFault(fault)) {
      case WatchedFaultHandler::Answer::kBusy:
        busy = true;
        return false;
      case WatchedFaultHandler::Answer::kWait:
        return false;
      case WatchedFaultHandler::Answer::kDone:
        break;
    }
    userfaultfd_.Wake(fault.address, kPage);
    return true;
  });
  return busy;
}

}  // namespace thermocline::os

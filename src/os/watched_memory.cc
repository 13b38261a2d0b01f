#include "src/os/watched_memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace thermocline::os {
namespace {

namespace feature = userfault_feature;

constexpr uint64_t kModes = kMissing | kWriteProtect;
constexpr Bytes kPage{4096};
constexpr int kTries = 40;     // of a move that the kernel was too busy for
constexpr int kBusyTries = 3;  // of one that it refused: a transfer that has just ended lets go a little later
constexpr int64_t kPauseNanos = 20'000;

alignas(4096) const char kZeros[4096] = {};

void Pause() {
  const timespec pause{0, kPauseNanos};
  nanosleep(&pause, nullptr);
}

int Advise(char* at, Bytes size, int advice) { return madvise(at, size.count(), advice) == 0 ? 0 : errno; }

// By a direct call: the thread sanitizer takes mmap for a write to all of it, and a tensor's threads for its rivals.
int MapAt(char* at, Bytes size, int protection) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  return syscall(SYS_mmap, at, size.count(), protection, kFlags, -1, 0) == -1 ? errno : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WatchedMemory>> WatchedMemory::Create(const Options& options, Memory& real,
                                                                     UserfaultCalls& calls) {
  uint64_t features = feature::kWriteProtect;
  // A touch that meets a frame while it moves is answered in its own thread, where no kernel access need be.
  features |= options.kernel_faults ? feature::kEventRemap : feature::kSigbus;
  if (options.held_frames) features |= feature::kMove;
  const FaultScope scope = options.kernel_faults ? FaultScope::kKernelFaults : FaultScope::kUserFaults;
  absl::StatusOr<Userfaultfd> opened = Userfaultfd::Open(scope, features, calls);
  if (!opened.ok()) return opened.status();
  return std::unique_ptr<WatchedMemory>(new WatchedMemory(options, real, *std::move(opened)));
}

WatchedMemory::~WatchedMemory() { StopServing(); }

// ---------------------------------------------------------------------------------------------------------------------
// Frames come.

int WatchedMemory::Remap(char* from, char* to, Bytes size, int flags) {
  flags |= MREMAP_MAYMOVE | MREMAP_FIXED;
  return mremap(from, size.count(), size.count(), flags, to) != MAP_FAILED ? 0 : errno;
}

int WatchedMemory::Attach(char* home, char* at, Bytes size, Protection protection) {
  if (!Serves(at)) return real_.Attach(home, at, size, protection);
  int error = 0;
  if (protection != Protection::kRead) {
    error = real_.Attach(home, at, size, protection);
  } else {
    // Protected before it comes, so that no write goes unseen; its registration comes along.
    error = userfaultfd_.Register(home, size, kModes);
    if (error == 0) error = userfaultfd_.WriteProtect(home, size);
    if (error == 0) error = Remap(home, at, size, AddressesAreQuiet() ? 0 : MREMAP_DONTUNMAP);
    if (error != 0) userfaultfd_.Unregister(home, size);
  }
  if (error != 0) return error;
  SetLoose(at, false);
  userfaultfd_.Wake(at, size);
  return 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Frames go.

int WatchedMemory::MapHome(char* home, Bytes size) {
  if (const int error = MapAt(home, size, PROT_READ | PROT_WRITE)) return error;
  Advise(home, size, size >= MiB(2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return userfaultfd_.Register(home, size, kMissing);
}

// All of it moves, or nothing does.
int WatchedMemory::MoveOrReturn(char* to, char* from, Bytes size) {
  Bytes done(0);
  int error = 0;
  for (int tries = 0, refused = 0; done < size; ++tries) {
    Bytes moved;
    error = userfaultfd_.Move(to + done.count(), from + done.count(), size - done, /*allow_holes=*/true, /*wake=*/false,
                              &moved);
    done += moved;
    if (moved.count() > 0) tries = 0;
    if (error == 0 || (error == EAGAIN && tries < kTries)) continue;
    if (error != EBUSY || ++refused >= kBusyTries) break;
    Pause();
  }
  if (done >= size) return 0;
  for (Bytes returned(0); returned < done;) {
    // Nobody can hold what lies at its home: the kernel itself may, for a moment.
    Bytes moved;
    userfaultfd_.Move(from + returned.count(), to + returned.count(), done - returned, true, false, &moved);
    returned += moved;
    if (moved.count() == 0) Pause();
  }
  return error;
}

// It stays where it was, writable.
int WatchedMemory::RestoreMapped(char* at, Bytes size, int error) {
  userfaultfd_.Unregister(at, size);
  Advise(at, size, MADV_DOFORK);
  userfaultfd_.Wake(at, size);
  return error;
}

int WatchedMemory::Detach(char* at, char* home, Bytes size) {
  if (abandoned_ || begin_ == nullptr) return real_.Detach(at, home, size);
  if (options_.held_frames) {
    const int error = DetachByMove(at, home, size);
    if (error != EINVAL) return error;
    // Not a kind of memory that moves so. Where writes were shut out, they still are.
  }
  if (options_.kernel_faults) return DetachByRemap(at, home, size);
  const int error = real_.Detach(at, home, size);
  return error != 0 && options_.held_frames ? RestoreMapped(at, size, error) : error;
}

int WatchedMemory::DetachByMove(char* at, char* home, Bytes size) {
  if (userfaultfd_.Register(at, size, kModes) != 0) return EINVAL;
  if (const int error = MapHome(home, size)) return RestoreMapped(at, size, error);
  // A child of a raw clone faults there rather than reads zeros.
  Advise(at, size, MADV_DONTFORK);
  int answer = 0;
  int error = MoveOrReturn(home, at, size);
  if (error == EINVAL) {
    // Only writable memory moves. It is protected before it turns writable, so that no write goes unseen.
    error = userfaultfd_.WriteProtect(at, size);
    if (error == 0) error = real_.Protect(at, size, Protection::kReadWrite);
    if (error == 0) error = MoveOrReturn(home, at, size);
  }
  if (error == EBUSY) {
    // Perhaps it is only shared with a forked child: then it gets pages of its own.
    answer = kMovedButWritten;
    userfaultfd_.Unregister(at, size);
    Advise(at, size, MADV_POPULATE_WRITE);
    error = userfaultfd_.Register(at, size, kModes);
    if (error == 0) error = MoveOrReturn(home, at, size);
  }
  userfaultfd_.Unregister(home, size);
  if (error == EINVAL) return error;
  if (error != 0) return RestoreMapped(at, size, error);
  LeaveHole(at, size);
  return answer;
}

int WatchedMemory::DetachByRemap(char* at, char* home, Bytes size) {
  int error = userfaultfd_.Register(at, size, kModes);
  if (error == 0) Advise(at, size, MADV_DONTFORK);
  if (error == 0) error = Remap(at, home, size, MREMAP_DONTUNMAP);
  if (error != 0) return RestoreMapped(at, size, error);
  userfaultfd_.Unregister(home, size);  // it came along
  Advise(home, size, MADV_DOFORK);
  real_.Protect(at, size, Protection::kReadWrite);
  LeaveHole(at, size);
  return real_.Protect(home, size, Protection::kReadWrite);
}

void WatchedMemory::LeaveHole(char* at, Bytes size) {
  if (!options_.kernel_faults) {
    if (!AddressesAreQuiet() || real_.Unmap(at, size) != 0) MapAt(at, size, PROT_NONE);
    return;
  }
  SetLoose(at, true);
  if (loose_ > most_loose_) JoinHole(at, size);
}

int WatchedMemory::Freeze(char* at, char* home, Bytes size) {
  if (!options_.held_frames || abandoned_) return Protect(at, size, Protection::kRead);
  if (const int error = Detach(at, home, size); error > 0) return error;
  // An absent page would make the write-out's own read a fault.
  if (options_.kernel_faults) Advise(home, size, MADV_POPULATE_READ);
  const int error = Attach(home, at, size, Protection::kRead);
  if (error == 0) return 0;
  real_.Protect(home, size, Protection::kReadWrite);
  return Attach(home, at, size, Protection::kReadWrite) == 0 ? error : ENOTCONN;
}

// ---------------------------------------------------------------------------------------------------------------------
// Holes and protection.

void WatchedMemory::SetLoose(const char* at, bool loose) {
  uint8_t& flag = LooseFlag(at);
  loose_ += static_cast<int>(loose) - flag;
  flag = static_cast<uint8_t>(loose);
}

// Inaccessible until it is registered: it never reads as zeros.
int WatchedMemory::MapHole(char* at, Bytes size) {
  if (const int error = MapAt(at, size, PROT_NONE)) return error;
  if (const int error = userfaultfd_.Register(at, size, kModes)) return error;
  if (const int error = Advise(at, size, MADV_DONTFORK)) return error;
  return real_.Protect(at, size, Protection::kReadWrite);
}

void WatchedMemory::OpenHole(char* at, Bytes size) {
  if (!Serves(at)) return;
  SetLoose(at, false);
  MapHole(at, size);
}

void WatchedMemory::CloseHole(char* at, Bytes size) {
  if (!Serves(at)) return;
  SetLoose(at, false);
  if (!AddressesAreQuiet() || real_.Unmap(at, size) != 0) MapAt(at, size, PROT_NONE);
  userfaultfd_.Wake(at, size);
}

// A fresh mapping takes the hole's place, in one step: it joins its neighbours.
void WatchedMemory::JoinHole(char* at, Bytes size) {
  if (MapHole(staging_, size) != 0) return;
  if (Remap(staging_, at, size, AddressesAreQuiet() ? 0 : MREMAP_DONTUNMAP) == 0) SetLoose(at, false);
}

int WatchedMemory::Protect(char* at, Bytes size, Protection protection) {
  if (!Serves(at)) return real_.Protect(at, size, protection);
  int error = 0;
  switch (protection) {
    case Protection::kNone:
      error = real_.Protect(at, size, protection);
      if (error == 0) userfaultfd_.Unregister(at, size);
      return error;
    case Protection::kRead:
      // Accessible, where it was not, only once it is protected.
      error = userfaultfd_.Register(at, size, kModes);
      if (error == 0) error = userfaultfd_.WriteProtect(at, size);
      return error == 0 ? real_.Protect(at, size, Protection::kReadWrite) : error;
    case Protection::kReadWrite:
      error = real_.Protect(at, size, protection);
      userfaultfd_.WriteUnprotect(at, size);  // fails where it is not registered
      return error;
  }
  return EINVAL;
}

bool WatchedMemory::FillAbsent(char* page, bool write_protected) {
  if (!Serves(page)) return false;
  if (!write_protected) return userfaultfd_.ZeroPage(page, kPage, /*wake=*/false) == 0;
  return userfaultfd_.Copy(page, kZeros, kPage, {.wake = false, .write_protect = true}) == 0;
}

}  // namespace thermocline::os

#include "src/os/userfaultfd.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)  // Linux 6.1
#endif

namespace thermocline::os {
namespace {

// Linux 6.4 and 6.8; the headers of Debian 12 lack them.
constexpr uint64_t kContinueWriteProtected = 1u << 1;
struct MoveRequest {
  uint64_t to, from, length, mode;
  int64_t moved;
};
constexpr unsigned long kMoveRequest = _IOWR(UFFDIO, 0x05, MoveRequest);
constexpr uint64_t kMoveWithoutWake = 1u << 0;
constexpr uint64_t kMoveAllowHoles = 1u << 1;
constexpr int kMostEvents = 16;

class RealCalls final : public UserfaultCalls {
 public:
  long Userfaultfd(int flags) override { return Result(syscall(SYS_userfaultfd, flags)); }
  long OpenDevice() override {
    return Result(syscall(SYS_openat, AT_FDCWD, "/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0));
  }
  // By direct calls: libc's read may be interposed, and errno belongs to interrupted code.
  long Ioctl(int descriptor, unsigned long request, void* argument) override {
    return Result(syscall(SYS_ioctl, descriptor, request, argument));
  }
  long Read(int descriptor, void* buffer, size_t size) override {
    return Result(syscall(SYS_read, descriptor, buffer, size));
  }
  void Close(int descriptor) override { syscall(SYS_close, descriptor); }

 private:
  static long Result(long result) { return result == -1 ? -static_cast<long>(errno) : result; }
};

uint64_t ToNumber(const char* address) { return reinterpret_cast<uintptr_t>(address); }
char* ToPointer(uint64_t address) { return reinterpret_cast<char*>(static_cast<uintptr_t>(address)); }

// What was tried and what the system answered.
class Refusals {
 public:
  void Add(const char* call, long result) {
    absl::StrAppend(&text_, text_.empty() ? "" : "; ", call, ": ", strerror(static_cast<int>(-result)));
    last_ = -result;
  }
  absl::Status ToStatus() const {
    if (last_ == EPERM || last_ == EACCES) {
      return absl::PermissionDeniedError(absl::StrCat(
          text_, "; it needs CAP_SYS_PTRACE, vm.unprivileged_userfaultfd=1 or access to /dev/userfaultfd"));
    }
    return last_ == ENOSYS || last_ == EINVAL ? absl::UnimplementedError(text_) : absl::UnavailableError(text_);
  }

 private:
  std::string text_;
  long last_ = 0;
};

absl::StatusOr<int> OpenDescriptor(FaultScope scope, UserfaultCalls& calls) {
  constexpr int kFlags = O_CLOEXEC | O_NONBLOCK;
  Refusals refusals;
  if (scope == FaultScope::kUserFaults) {
    const long direct = calls.Userfaultfd(kFlags | UFFD_USER_MODE_ONLY);
    if (direct >= 0) return static_cast<int>(direct);
    refusals.Add("userfaultfd(UFFD_USER_MODE_ONLY)", direct);
    return refusals.ToStatus();
  }
  const long direct = calls.Userfaultfd(kFlags);
  if (direct >= 0) return static_cast<int>(direct);
  refusals.Add("userfaultfd()", direct);
  const long device = calls.OpenDevice();
  if (device < 0) {
    refusals.Add("open /dev/userfaultfd", device);
    return refusals.ToStatus();
  }
  const long made =
      calls.Ioctl(static_cast<int>(device), USERFAULTFD_IOC_NEW, reinterpret_cast<void*>(uintptr_t{kFlags}));
  calls.Close(static_cast<int>(device));
  if (made >= 0) return static_cast<int>(made);
  refusals.Add("USERFAULTFD_IOC_NEW", made);
  return refusals.ToStatus();
}

UserfaultEvent Decode(const uffd_msg& message) {
  using Kind = UserfaultEvent::Kind;
  UserfaultEvent event;
  switch (message.event) {
    case UFFD_EVENT_PAGEFAULT:
      event.kind = Kind::kFault;
      event.address = ToPointer(message.arg.pagefault.address);
      event.write = (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE) != 0;
      event.write_protect = (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) != 0;
      event.minor = (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR) != 0;
      event.thread = message.arg.pagefault.feat.ptid;
      break;
    case UFFD_EVENT_FORK:
      event.kind = Kind::kFork;
      event.descriptor = static_cast<int>(message.arg.fork.ufd);
      break;
    case UFFD_EVENT_REMAP:
      event.kind = Kind::kRemap;
      event.address = ToPointer(message.arg.remap.from);
      event.to = ToPointer(message.arg.remap.to);
      event.end = event.to + message.arg.remap.len;
      break;
    case UFFD_EVENT_REMOVE:
    case UFFD_EVENT_UNMAP:
      event.kind = message.event == UFFD_EVENT_REMOVE ? Kind::kRemove : Kind::kUnmap;
      event.address = ToPointer(message.arg.remove.start);
      event.end = ToPointer(message.arg.remove.end);
      break;
    default:
      break;
  }
  return event;
}

// The kernel answers either with the bytes done or with minus an errno in the same field.
int Report(int error, int64_t answer, Bytes* done) {
  if (done != nullptr) *done = Bytes(std::max<int64_t>(answer, 0));
  return error;
}

}  // namespace

UserfaultCalls& RealUserfaultCalls() {
  static RealCalls* const calls = new RealCalls;
  return *calls;
}

absl::StatusOr<uint64_t> Userfaultfd::SupportedFeatures(FaultScope scope, UserfaultCalls& calls) {
  absl::StatusOr<Userfaultfd> opened = Open(scope, 0, calls);
  if (!opened.ok()) return opened.status();
  return opened->features();
}

absl::StatusOr<Userfaultfd> Userfaultfd::Open(FaultScope scope, uint64_t features, UserfaultCalls& calls) {
  absl::StatusOr<int> descriptor = OpenDescriptor(scope, calls);
  if (!descriptor.ok()) return descriptor.status();
  Userfaultfd opened(calls, *descriptor, 0);
  uffdio_api api = {};
  api.api = UFFD_API;
  api.features = features;
  const int error = opened.Ioctl(UFFDIO_API, &api);
  if (error == EINVAL) {
    return absl::UnimplementedError(absl::StrFormat("UFFDIO_API: the kernel lacks one of the features 0x%x", features));
  }
  if (error != 0) return absl::UnavailableError(absl::StrCat("UFFDIO_API: ", strerror(error)));
  opened.features_ = api.features;
  return opened;
}

Userfaultfd::~Userfaultfd() { Forget(); }

void Userfaultfd::Forget() {
  if (descriptor_ >= 0) calls_->Close(std::exchange(descriptor_, -1));
}

int Userfaultfd::Register(char* at, Bytes size, uint64_t modes) {
  uffdio_register request = {};
  request.range = {ToNumber(at), static_cast<uint64_t>(size.count())};
  request.mode = modes;
  return Ioctl(UFFDIO_REGISTER, &request);
}

int Userfaultfd::Unregister(char* at, Bytes size) {
  uffdio_range range = {ToNumber(at), static_cast<uint64_t>(size.count())};
  return Ioctl(UFFDIO_UNREGISTER, &range);
}

int Userfaultfd::Continue(char* at, Bytes size, Fill fill, Bytes* done) {
  uffdio_continue request = {};
  request.range = {ToNumber(at), static_cast<uint64_t>(size.count())};
  request.mode = (fill.wake ? 0 : UFFDIO_CONTINUE_MODE_DONTWAKE) | (fill.write_protect ? kContinueWriteProtected : 0);
  const int error = Ioctl(UFFDIO_CONTINUE, &request);
  return Report(error, request.mapped, done);
}

int Userfaultfd::Copy(char* to, const char* from, Bytes size, Fill fill, Bytes* done) {
  uffdio_copy request = {};
  request.dst = ToNumber(to);
  request.src = ToNumber(from);
  request.len = size.count();
  request.mode = (fill.wake ? 0 : UFFDIO_COPY_MODE_DONTWAKE) | (fill.write_protect ? UFFDIO_COPY_MODE_WP : 0);
  const int error = Ioctl(UFFDIO_COPY, &request);
  return Report(error, request.copy, done);
}

int Userfaultfd::ZeroPage(char* at, Bytes size, bool wake, Bytes* done) {
  uffdio_zeropage request = {};
  request.range = {ToNumber(at), static_cast<uint64_t>(size.count())};
  request.mode = wake ? 0 : UFFDIO_ZEROPAGE_MODE_DONTWAKE;
  const int error = Ioctl(UFFDIO_ZEROPAGE, &request);
  return Report(error, request.zeropage, done);
}

int Userfaultfd::Move(char* to, char* from, Bytes size, bool allow_holes, bool wake, Bytes* done) {
  MoveRequest request = {ToNumber(to), ToNumber(from), static_cast<uint64_t>(size.count()), 0, 0};
  request.mode = (wake ? 0 : kMoveWithoutWake) | (allow_holes ? kMoveAllowHoles : 0);
  const int error = Ioctl(kMoveRequest, &request);
  return Report(error, request.moved, done);
}

int Userfaultfd::WriteProtect(char* at, Bytes size) {
  uffdio_writeprotect request = {};
  request.range = {ToNumber(at), static_cast<uint64_t>(size.count())};
  request.mode = UFFDIO_WRITEPROTECT_MODE_WP;
  return Ioctl(UFFDIO_WRITEPROTECT, &request);
}

int Userfaultfd::WriteUnprotect(char* at, Bytes size, bool wake) {
  uffdio_writeprotect request = {};
  request.range = {ToNumber(at), static_cast<uint64_t>(size.count())};
  request.mode = wake ? 0 : UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
  return Ioctl(UFFDIO_WRITEPROTECT, &request);
}

int Userfaultfd::Wake(char* at, Bytes size) {
  uffdio_range range = {ToNumber(at), static_cast<uint64_t>(size.count())};
  return Ioctl(UFFDIO_WAKE, &range);
}

int Userfaultfd::ReadEvents(absl::Span<UserfaultEvent> events) {
  uffd_msg messages[kMostEvents];
  const size_t most = std::min<size_t>(events.size(), kMostEvents);
  const long result = calls_->Read(descriptor_, messages, most * sizeof(uffd_msg));
  if (result < 0) return result == -EAGAIN ? 0 : static_cast<int>(result);
  const int count = static_cast<int>(result / static_cast<long>(sizeof(uffd_msg)));
  for (int i = 0; i < count; ++i) events[i] = Decode(messages[i]);
  return count;
}

}  // namespace thermocline::os

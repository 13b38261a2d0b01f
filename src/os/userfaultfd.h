// Userfaultfd: the kernel's faults in user space, one thin function a call, behind a seam that tests can play.
//
// A Userfaultfd watches the ranges that are registered with it. A touch of a page that is missing there (kMissing),
// that lies in the page cache but is not mapped (kMinor, shared memory only), or that is write-protected
// (kWriteProtect) is a fault: the touching thread sleeps until somebody resolves it, or, where the descriptor was
// opened with the feature kSigbus, gets SIGBUS and resolves it itself. Faults that a system call takes are delivered
// only by a descriptor of the scope kKernelFaults; with kUserFaults such a call returns EFAULT. Thread safety: every
// function from any thread; all but Open and SupportedFeatures also from signal handlers (they allocate nothing).
// Ownership: a Userfaultfd owns its descriptor; closing it unregisters everything and wakes all who sleep. A forked
// child inherits the descriptor, but it speaks of the parent's memory: Forget it there. Errors: Open says who refused
// what; every other call returns an errno, 0 for success.
#ifndef THERMOCLINE_OS_USERFAULTFD_H_
#define THERMOCLINE_OS_USERFAULTFD_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "src/base/units.h"

namespace thermocline::os {

enum class FaultScope : uint8_t {
  kUserFaults,    // any process may have it (Linux 5.11)
  kKernelFaults,  // needs CAP_SYS_PTRACE, vm.unprivileged_userfaultfd = 1, or a readable /dev/userfaultfd (Linux 6.1)
};

// What a kernel may offer, as UFFDIO_API names it. Debian 12's headers (6.1) end with kWriteProtectShared.
namespace userfault_feature {
inline constexpr uint64_t kWriteProtect = 1u << 0;  // of anonymous memory
inline constexpr uint64_t kEventFork = 1u << 1;     // needs privilege
inline constexpr uint64_t kEventRemap = 1u << 2;
inline constexpr uint64_t kEventRemove = 1u << 3;
inline constexpr uint64_t kMissingShared = 1u << 5;
inline constexpr uint64_t kEventUnmap = 1u << 6;
inline constexpr uint64_t kSigbus = 1u << 7;
inline constexpr uint64_t kThreadId = 1u << 8;
inline constexpr uint64_t kMinorShared = 1u << 10;              // Linux 5.14
inline constexpr uint64_t kExactAddress = 1u << 11;             // Linux 5.18
inline constexpr uint64_t kWriteProtectShared = 1u << 12;       // Linux 5.19
inline constexpr uint64_t kWriteProtectUnpopulated = 1u << 13;  // Linux 6.4
inline constexpr uint64_t kWriteProtectAsync = 1u << 15;        // Linux 6.7
inline constexpr uint64_t kMove = 1u << 16;                     // Linux 6.8
}  // namespace userfault_feature

// Which faults of a range are delivered; or them together.
enum UserfaultMode : uint64_t { kMissing = 1, kWriteProtect = 2, kMinor = 4 };

// The system calls themselves. Results as the kernel gives them: minus an errno on failure.
class UserfaultCalls {
 public:
  virtual ~UserfaultCalls() = default;
  virtual long Userfaultfd(int flags) = 0;
  virtual long OpenDevice() = 0;  // /dev/userfaultfd
  virtual long Ioctl(int descriptor, unsigned long request, void* argument) = 0;
  virtual long Read(int descriptor, void* buffer, size_t size) = 0;
  virtual void Close(int descriptor) = 0;
};
// Never destroyed.
UserfaultCalls& RealUserfaultCalls();

// One message of the descriptor.
struct UserfaultEvent {
  enum class Kind : uint8_t { kFault, kFork, kRemap, kRemove, kUnmap, kOther };
  Kind kind = Kind::kOther;
  char* address = nullptr;  // of the fault, its page unless kExactAddress; else the range's begin
  char* end = nullptr;      // of the range; for kRemap: of where it lies now
  char* to = nullptr;       // kRemap: where it lies now
  bool write = false;       // kFault: by a write; else by a read
  bool write_protect = false;
  bool minor = false;
  uint32_t thread = 0;  // kFault, with the feature kThreadId
  int descriptor = -1;  // kFork: the child's userfaultfd, the reader's to close
};

class Userfaultfd {
 public:
  // What a descriptor of that scope could be opened with. PermissionDenied, Unimplemented or Unavailable, with the
  // calls that were tried and what they answered.
  static absl::StatusOr<uint64_t> SupportedFeatures(FaultScope scope, UserfaultCalls& calls = RealUserfaultCalls());
  // Non-blocking and close-on-exec. Errors as above, and Unimplemented when a feature is missing.
  static absl::StatusOr<Userfaultfd> Open(FaultScope scope, uint64_t features,
                                          UserfaultCalls& calls = RealUserfaultCalls());

  Userfaultfd(Userfaultfd&& other) noexcept
      : calls_(other.calls_), descriptor_(std::exchange(other.descriptor_, -1)), features_(other.features_) {}
  Userfaultfd& operator=(Userfaultfd&&) = delete;
  ~Userfaultfd();

  // To poll for events.
  int descriptor() const { return descriptor_; }
  // All that the kernel has, not only what was asked for.
  uint64_t features() const { return features_; }
  bool Has(uint64_t features) const { return (features_ & features) == features; }

  // Ranges are whole pages. `modes`: UserfaultMode values.
  int Register(char* at, Bytes size, uint64_t modes);
  int Unregister(char* at, Bytes size);

  // Each resolves missing or minor faults of a range and wakes its sleepers, unless `wake` is false. `*done`, where it
  // is given, is how many bytes were done before the error: EEXIST where a page is there already, EAGAIN while the
  // process's memory map changes (do the rest again), ENOENT outside registered ranges.
  struct Fill {
    bool wake = true;
    bool write_protect = false;  // the next write faults. With Continue: Linux 6.4, else EINVAL
  };
  int Continue(char* at, Bytes size, Fill fill, Bytes* done = nullptr);  // maps what the page cache holds
  int Copy(char* to, const char* from, Bytes size, Fill fill, Bytes* done = nullptr);
  int ZeroPage(char* at, Bytes size, bool wake = true, Bytes* done = nullptr);
  // Moves anonymous pages of this process; EBUSY for pages that the kernel or a device holds. Holes are skipped when
  // `allow_holes`. Linux 6.8.
  int Move(char* to, char* from, Bytes size, bool allow_holes, bool wake = true, Bytes* done = nullptr);

  // Protects pages that are mapped (and, with kWriteProtectUnpopulated, those that are not) against writes.
  int WriteProtect(char* at, Bytes size);
  // Lets writes through again and wakes the sleepers.
  int WriteUnprotect(char* at, Bytes size, bool wake = true);
  int Wake(char* at, Bytes size);

  // Waiting messages, at most as many as there is room for; 0 when there are none; minus an errno on failure.
  int ReadEvents(absl::Span<UserfaultEvent> events);

  // In a forked child: closes the descriptor.
  void Forget();

 private:
  Userfaultfd(UserfaultCalls& calls, int descriptor, uint64_t features)
      : calls_(&calls), descriptor_(descriptor), features_(features) {}
  int Ioctl(unsigned long request, void* argument) {
    return static_cast<int>(-calls_->Ioctl(descriptor_, request, argument));
  }

  UserfaultCalls* calls_;
  int descriptor_;
  uint64_t features_;
};

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_USERFAULTFD_H_

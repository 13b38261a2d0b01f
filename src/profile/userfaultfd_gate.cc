#include "src/profile/userfaultfd_gate.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/os/shared_memory.h"

namespace thermocline::profile {
namespace {

constexpr Bytes kPage{4096};
constexpr uint64_t kNeeded =
    os::userfault_feature::kSigbus | os::userfault_feature::kMinorShared | os::userfault_feature::kWriteProtectShared;

}  // namespace

absl::StatusOr<std::unique_ptr<UserfaultGate>> UserfaultGate::Create(os::Memory& memory, os::UserfaultCalls& calls) {
  absl::StatusOr<os::Userfaultfd> opened = os::Userfaultfd::Open(os::FaultScope::kUserFaults, kNeeded, calls);
  if (!opened.ok()) return opened.status();
  auto gate = std::unique_ptr<UserfaultGate>(new UserfaultGate(memory, *std::move(opened)));
  if (absl::Status status = gate->TryOut(); !status.ok()) return status;
  return gate;
}

absl::Status UserfaultGate::TryOut() {
  const Bytes size = kPage * 2;
  auto shared = os::SharedMemory::Create(size);
  if (!shared.ok()) return shared.status();
  void* const place = mmap(nullptr, size.count(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) return absl::ResourceExhaustedError(absl::StrCat("mmap: ", strerror(errno)));
  char* const at = static_cast<char*>(place);
  const char* call = "fallocate of a memfd";
  int error = (*shared)->Provide(Bytes(0), size);
  if (error == 0) call = "mmap of a memfd", error = (*shared)->Map(at, Bytes(0), size);
  if (error == 0) call = "UFFDIO_REGISTER", error = Arm(at, size);
  if (error == 0) {
    protects_at_once_ = userfaultfd_.Continue(at, kPage, {.wake = false, .write_protect = true}) == 0;
    call = "UFFDIO_CONTINUE and UFFDIO_WRITEPROTECT";
    error = Open(at, size, os::FaultAccess::kRead);
  }
  if (error == 0) call = "UFFDIO_WRITEPROTECT", error = Open(at, kPage, os::FaultAccess::kWrite);
  if (error == 0) call = "UFFDIO_UNREGISTER", error = Disarm(at, size);
  munmap(place, size.count());
  if (error == 0) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(call, ": ", strerror(error)));
}

int UserfaultGate::Arm(char* at, Bytes size) {
  if (const int error = userfaultfd_.Register(at, size, os::kMinor | os::kWriteProtect)) return error;
  int error = Close(at, size);
  // Accessible only once nothing is mapped there any more: no touch goes unseen.
  if (error == 0) error = memory_.Protect(at, size, os::Protection::kReadWrite);
  if (error != 0) userfaultfd_.Unregister(at, size);
  return error;
}

int UserfaultGate::Open(char* at, Bytes size, os::FaultAccess access) {
  if (access == os::FaultAccess::kRead) return OpenForReading(at, size);
  const int error = Map(at, size, /*write_protect=*/false);
  return error != 0 ? error : userfaultfd_.WriteUnprotect(at, size, /*wake=*/false);
}

int UserfaultGate::OpenForReading(char* at, Bytes size) {
  const int error = Map(at, size, protects_at_once_);
  return error != 0 || protects_at_once_ ? error : userfaultfd_.WriteProtect(at, size);
}

int UserfaultGate::Map(char* at, Bytes size, bool write_protect) {
  Bytes at_once = size;
  for (Bytes done{0}; done < size;) {
    Bytes mapped;
    const int error = userfaultfd_.Continue(at + done.count(), std::min(at_once, size - done),
                                            {.wake = false, .write_protect = write_protect}, &mapped);
    done += mapped;
    if (error == EEXIST) {
      // Open already, in part: the rest page by page.
      if (at_once == kPage) done += kPage;
      at_once = kPage;
    } else if (error != 0 && error != EAGAIN) {
      return error;
    }
  }
  return 0;
}

int UserfaultGate::Close(char* at, Bytes size) {
  // Of shared memory it drops the page-table entries only.
  return memory_.Discard(at, size);
}

int UserfaultGate::Disarm(char* at, Bytes size) {
  if (const int error = memory_.Protect(at, size, os::Protection::kNone)) return error;
  // Clears the write protection of every entry too: it must not travel with a moved frame.
  return userfaultfd_.Unregister(at, size);
}

}  // namespace thermocline::profile

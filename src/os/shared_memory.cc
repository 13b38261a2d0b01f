#include "src/os/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace thermocline::os {

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Create(Bytes size) {
  const int descriptor = static_cast<int>(syscall(SYS_memfd_create, "thermocline", MFD_CLOEXEC));
  if (descriptor < 0) return absl::UnavailableError(absl::StrCat("memfd_create: ", strerror(errno)));
  auto memory = std::unique_ptr<SharedMemory>(new SharedMemory(descriptor));
  if (ftruncate(descriptor, size.count()) != 0) {
    return absl::UnavailableError(absl::StrCat("ftruncate of a memfd to ", size.count(), " bytes: ", strerror(errno)));
  }
  return memory;
}

SharedMemory::~SharedMemory() { syscall(SYS_close, descriptor_); }

int SharedMemory::Provide(Bytes offset, Bytes size) {
  return syscall(SYS_fallocate, descriptor_, 0, offset.count(), size.count()) == 0 ? 0 : errno;
}

int SharedMemory::Release(Bytes offset, Bytes size) {
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return syscall(SYS_fallocate, descriptor_, kPunch, offset.count(), size.count()) == 0 ? 0 : errno;
}

int SharedMemory::Map(char* at, Bytes offset, Bytes size) {
  void* const mapped =
      mmap(at, size.count(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor_, offset.count());
  if (mapped == MAP_FAILED) return errno;
  if (madvise(at, size.count(), MADV_DONTFORK) == 0) return 0;
  return errno;
}

}  // namespace thermocline::os

// madvise, mprotect, mlock and stacks, in front of the C library's, for addresses in the runtime's memory.
//
// The runtime moves frames by remapping them, a mapping each. Advice and protection given to part of one would split
// it, and it could not be moved any more; a range whose granules are away is not mapped at all. So they are done by
// other means.

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "src/adapters/calls/calls.h"
#include "src/adapters/preload/placement.h"
#include "src/adapters/preload/real_calls.h"

namespace thermocline::preload {
namespace {

int Fail(int error) {
  errno = error;
  return -1;
}

int Advise(void* address, size_t bytes, int advice) {
  switch (advice) {
    case MADV_WILLNEED:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE: {
      const Inside inside;
      tc_prefetch(Runtime(), address, bytes);
      return 0;
    }
    case MADV_DONTNEED:  // private memory reads as zeros after it
      memset(address, 0, bytes);
      return 0;
    case MADV_REMOVE:
      return Fail(EINVAL);
    default:  // the rest is advice on how to keep the pages, which is the runtime's business
      return 0;
  }
}

}  // namespace
}  // namespace thermocline::preload

namespace preload = thermocline::preload;
using preload::IsOurs;
using preload::Real;

THERMOCLINE_INTERPOSED int madvise(void* address, size_t bytes, int advice) {
  if (!IsOurs(address) || THERMOCLINE_FROM_RUNTIME) return Real().madvise(address, bytes, advice);
  return preload::Advise(address, bytes, advice);
}
THERMOCLINE_INTERPOSED int posix_madvise(void* address, size_t bytes, int advice) {
  if (!IsOurs(address)) return Real().posix_madvise(address, bytes, advice);
  // Unlike madvise's, its DONTNEED keeps the bytes.
  return advice == POSIX_MADV_WILLNEED ? preload::Advise(address, bytes, MADV_WILLNEED) : 0;
}
THERMOCLINE_INTERPOSED int mprotect(void* address, size_t bytes, int protection) {
  if (!IsOurs(address) || THERMOCLINE_FROM_RUNTIME) return Real().mprotect(address, bytes, protection);
  if (protection == (PROT_READ | PROT_WRITE)) return 0;
  preload::Complain("mprotect() of placed memory is refused; raise --threshold to leave that allocation alone");
  return preload::Fail(EACCES);
}
THERMOCLINE_INTERPOSED int mlock(const void* address, size_t bytes) {
  if (!IsOurs(address)) return Real().mlock(address, bytes);
  const preload::Inside inside;
  return tc_pin(preload::Runtime(), address, bytes) == TC_OK ? 0 : preload::Fail(ENOMEM);
}
THERMOCLINE_INTERPOSED int munlock(const void* address, size_t bytes) {
  if (!IsOurs(address)) return Real().munlock(address, bytes);
  const preload::Inside inside;
  tc_unpin(preload::Runtime(), address, bytes);
  return 0;
}
// A thread can't handle the fault of its own stack.
THERMOCLINE_INTERPOSED int pthread_attr_setstack(pthread_attr_t* attributes, void* stack, size_t bytes) {
  if (IsOurs(stack)) {
    const preload::Inside inside;
    if (tc_pin(preload::Runtime(), stack, bytes) != TC_OK) return ENOMEM;
  }
  return Real().pthread_attr_setstack(attributes, stack, bytes);
}

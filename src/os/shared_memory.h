// SharedMemory: memory behind a descriptor (memfd), so that its pages outlive the page-table entries that show them.
//
// Thread safety: any thread, and signal handlers but for Create. Ownership: owns the descriptor; mappings of it stay
// until they are unmapped. Errors: Create says what the kernel refused; every other call returns an errno, 0 for
// success.
#ifndef THERMOCLINE_OS_SHARED_MEMORY_H_
#define THERMOCLINE_OS_SHARED_MEMORY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/base/units.h"

namespace thermocline::os {

class SharedMemory {
 public:
  // It holds no page yet.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Create(Bytes size);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Makes every page of the range present, zeroed where it was not.
  int Provide(Bytes offset, Bytes size);
  // Gives the pages of the range back to the system, whatever maps them.
  int Release(Bytes offset, Bytes size);
  // Shows the range at a reserved address, readable and writable, in place of what is mapped there. A forked child
  // finds nothing at the address, so that it can't write to the parent's pages.
  int Map(char* at, Bytes offset, Bytes size);

 private:
  explicit SharedMemory(int descriptor) : descriptor_(descriptor) {}
  const int descriptor_;
};

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_SHARED_MEMORY_H_

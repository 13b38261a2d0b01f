#include "src/arena/granule.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace thermocline::arena {

static_assert(std::is_trivially_destructible_v<Granule>);

absl::StatusOr<GranuleTable> GranuleTable::Create(int64_t count) {
  void* memory = mmap(nullptr, count * sizeof(Granule), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no room for the table of ", count, " granules: ", strerror(errno)));
  }
  // Zeroed pages are vacant granules: constructing each would touch them all.
  return GranuleTable(static_cast<Granule*>(memory), count);
}

GranuleTable::GranuleTable(GranuleTable&& other) noexcept : granules_(other.granules_), count_(other.count_) {
  other.granules_ = nullptr;
}

GranuleTable::~GranuleTable() {
  if (granules_ != nullptr) munmap(granules_, count_ * sizeof(Granule));
}

}  // namespace thermocline::arena

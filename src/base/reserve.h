// ReserveFor: room in a vector before anything is changed that an insertion which fails would leave half done.
//
// Thread safety: as std::vector. Errors: std::bad_alloc; the vector is then as it was.
#ifndef THERMOCLINE_BASE_RESERVE_H_
#define THERMOCLINE_BASE_RESERVE_H_

#include <algorithm>
#include <cstddef>
#include <vector>

namespace thermocline {

// From here on the vector holds `count` items without allocating. It grows as push_back lets it grow: by doubling.
template <typename T>
void ReserveFor(std::vector<T>& items, size_t count) {
  if (items.capacity() < count) items.reserve(std::max(count, 2 * items.capacity()));
}

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_RESERVE_H_

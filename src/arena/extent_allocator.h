// ExtentAllocator: finds room for page-granular extents in a range of address space. It hands out offsets; whether
// memory is behind them is the residency's business.
//
// Best fit, lowest address among equals, neighbours merged on free: the arena stays dense, so that few granules are
// shared by tensors that have nothing in common.
// Thread safety: none of its own. Errors: Allocate returns -1 when nothing fits.
#ifndef THERMOCLINE_ARENA_EXTENT_ALLOCATOR_H_
#define THERMOCLINE_ARENA_EXTENT_ALLOCATOR_H_

#include <cstdint>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"

namespace thermocline::arena {

class ExtentAllocator {
 public:
  static constexpr int64_t kPage = 4096;

  // Offsets in [begin, end), multiples of kPage.
  ExtentAllocator(int64_t begin, int64_t end) { Insert(begin, end - begin); }

  // `bytes` is a multiple of kPage, `alignment` a power of two of at least kPage.
  int64_t Allocate(int64_t bytes, int64_t alignment = kPage) {
    // Only a little more than wanted guarantees an aligned place in the extent that is found.
    auto found = by_size_.lower_bound({bytes + (alignment - kPage), 0});
    if (found == by_size_.end()) return -1;
    const auto [size, begin] = *found;
    const int64_t offset = (begin + alignment - 1) & ~(alignment - 1);
    Remove(begin, size);
    if (offset > begin) Insert(begin, offset - begin);
    if (offset + bytes < begin + size) Insert(offset + bytes, begin + size - offset - bytes);
    return offset;
  }

  // REQUIRES: [offset, offset + bytes) was allocated.
  void Free(int64_t offset, int64_t bytes) {
    auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.end() && next->first == offset + bytes) {
      bytes += next->second;
      const auto [begin, size] = *next;
      Remove(begin, size);
      next = by_offset_.lower_bound(offset);
    }
    if (next != by_offset_.begin()) {
      const auto [begin, size] = *--next;
      if (begin + size == offset) {
        Remove(begin, size);
        offset = begin;
        bytes += size;
      }
    }
    Insert(offset, bytes);
  }

  // Of the free extents that it keeps, the trees' own share apart.
  int64_t MetadataBytes() const {
    return static_cast<int64_t>((by_offset_.size() + by_size_.size()) * sizeof(std::pair<int64_t, int64_t>));
  }

 private:
  void Insert(int64_t offset, int64_t bytes) {
    by_offset_.emplace(offset, bytes);
    by_size_.emplace(bytes, offset);
  }
  void Remove(int64_t offset, int64_t bytes) {
    by_offset_.erase(offset);
    by_size_.erase({bytes, offset});
  }

  absl::btree_map<int64_t, int64_t> by_offset_;
  absl::btree_set<std::pair<int64_t, int64_t>> by_size_;  // (bytes, offset)
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_EXTENT_ALLOCATOR_H_

// ExtentAllocator: finds room for page-granular extents in a range of address space. It hands out offsets; whether
// memory is behind them is the residency's business.
//
// Best fit, lowest address among equals, neighbours merged on free: the arena stays dense, so that few granules are
// shared by tensors that have nothing in common. Thread safety: none of its own. Errors: Allocate returns -1 when
// nothing fits, and throws std::bad_alloc, with nothing changed, when there is no memory for its trees; Free needs
// none.
#ifndef THERMOCLINE_ARENA_EXTENT_ALLOCATOR_H_
#define THERMOCLINE_ARENA_EXTENT_ALLOCATOR_H_

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "src/base/reserve.h"

namespace thermocline::arena {

class ExtentAllocator {
 public:
  static constexpr int64_t kPage = 4096;

  // Offsets in [begin, end), multiples of kPage.
  ExtentAllocator(int64_t begin, int64_t end) {
    MakeNode();
    Insert(begin, end - begin);
  }

  // `bytes` is a multiple of kPage, `alignment` a power of two of at least kPage.
  int64_t Allocate(int64_t bytes, int64_t alignment = kPage) {
    // Only a little more than wanted guarantees an aligned place in the extent that is found.
    auto found = by_size_.lower_bound({bytes + (alignment - kPage), 0});
    if (found == by_size_.end()) return -1;
    const auto [size, begin] = *found;
    // Between two free extents lies one that is taken, so that there is at most one free one more.
    while (nodes_ < taken_ + 2) MakeNode();
    ++taken_;
    const int64_t offset = (begin + alignment - 1) & ~(alignment - 1);
    Remove(begin, size);
    if (offset > begin) Insert(begin, offset - begin);
    if (offset + bytes < begin + size) Insert(offset + bytes, begin + size - offset - bytes);
    return offset;
  }

  // REQUIRES: [offset, offset + bytes) was allocated.
  void Free(int64_t offset, int64_t bytes) noexcept {
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
    --taken_;
    Insert(offset, bytes);
  }

  // Of what it keeps for free extents, the trees' own share apart.
  int64_t MetadataBytes() const { return nodes_ * 2 * static_cast<int64_t>(sizeof(std::pair<int64_t, int64_t>)); }

 private:
  using ByOffset = std::map<int64_t, int64_t>;
  using BySize = std::set<std::pair<int64_t, int64_t>>;  // (bytes, offset)
  // Where a free extent stands in the trees. It is kept when the extent is gone, for the next one.
  struct Node {
    ByOffset::node_type by_offset;
    BySize::node_type by_size;
  };

  void MakeNode() {
    ReserveFor(idle_, static_cast<size_t>(nodes_) + 1);
    ByOffset by_offset;
    BySize by_size;
    by_offset.emplace(0, 0);
    by_size.emplace(0, 0);
    idle_.push_back({by_offset.extract(by_offset.begin()), by_size.extract(by_size.begin())});
    ++nodes_;
  }
  void Insert(int64_t offset, int64_t bytes) noexcept {
    Node node = std::move(idle_.back());
    idle_.pop_back();
    node.by_offset.key() = offset;
    node.by_offset.mapped() = bytes;
    node.by_size.value() = {bytes, offset};
    by_offset_.insert(std::move(node.by_offset));
    by_size_.insert(std::move(node.by_size));
  }
  void Remove(int64_t offset, int64_t bytes) noexcept {
    idle_.push_back({by_offset_.extract(offset), by_size_.extract({bytes, offset})});
  }

  ByOffset by_offset_;
  BySize by_size_;
  std::vector<Node> idle_;  // with room for all
  int64_t nodes_ = 0;       // in the trees and idle; always at least taken_ + 1
  int64_t taken_ = 0;       // extents
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_EXTENT_ALLOCATOR_H_

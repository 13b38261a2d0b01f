// SlabAllocator: small objects in spans of one size class. What is free is known from bitmaps beside the memory, never
// from the memory itself, which may be away.
//
// Thread safety: none of its own. Ownership: owns its bookkeeping, not the memory.
#ifndef THERMOCLINE_ARENA_SLAB_ALLOCATOR_H_
#define THERMOCLINE_ARENA_SLAB_ALLOCATOR_H_

#include <array>
#include <cstdint>
#include <vector>

namespace thermocline::arena {

class SlabAllocator {
 public:
  static constexpr int64_t kSpanBytes = 256 << 10;
  static constexpr int64_t kLargestObject = 32 << 10;
  static constexpr uint32_t kNoSpan = 0xffffffffu;

  static int ClassOf(int64_t bytes);
  static int64_t ClassBytes(int size_class);

  // Offset of a free object, or -1 when the class has none: then AddSpan and try again.
  int64_t Allocate(int size_class);
  // The memory that the next AddSpan needs for its bookkeeping, or std::bad_alloc with nothing changed.
  void ReserveSpan(int size_class);
  // The span is the caller's, at `offset`; returns its number. Without ReserveSpan before it throws as that does; no
  // other call does.
  uint32_t AddSpan(int size_class, int64_t offset);
  // False for an address that is no live object's beginning. `span_empty`: nothing is left in it (it stays usable).
  bool Free(uint32_t span, int64_t offset, bool* span_empty);
  // Forgets an empty span and returns its offset.
  int64_t RemoveSpan(uint32_t span);
  // Usable bytes of the live object that begins at the offset, 0 when there is none.
  int64_t ObjectBytes(uint32_t span, int64_t offset) const;
  // Of its bookkeeping. Goes through all spans.
  int64_t MetadataBytes() const;

 private:
  static constexpr int kClasses = 32;
  struct Span {
    int64_t offset = -1;
    int size_class = 0;
    int32_t objects = 0;
    int32_t used = 0;
    bool listed = false;          // in with_room_ of its class
    std::vector<uint64_t> taken;  // a bit an object
  };

  std::vector<Span> spans_;
  std::vector<uint64_t> next_taken_;  // as ReserveSpan made it
  std::vector<uint32_t> unused_numbers_;
  std::array<std::vector<uint32_t>, kClasses> with_room_;
};

}  // namespace thermocline::arena

#endif  // THERMOCLINE_ARENA_SLAB_ALLOCATOR_H_

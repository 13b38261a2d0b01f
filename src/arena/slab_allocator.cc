#include "src/arena/slab_allocator.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "src/base/reserve.h"

namespace thermocline::arena {
namespace {

// Multiples of 64 up to 512, then four classes a doubling up to 32 KiB: at most a fifth is lost to rounding.
constexpr auto kClassBytes = [] {
  std::array<int64_t, 32> bytes{};
  for (int i = 0; i < 8; ++i) bytes[i] = 64 * (i + 1);
  for (int i = 8; i < 32; ++i) bytes[i] = (int64_t{512} << ((i - 8) / 4)) * ((i - 8) % 4 + 5) / 4;
  return bytes;
}();
static_assert(kClassBytes[31] == SlabAllocator::kLargestObject);

}  // namespace

int SlabAllocator::ClassOf(int64_t bytes) {
  return static_cast<int>(std::lower_bound(kClassBytes.begin(), kClassBytes.end(), bytes) - kClassBytes.begin());
}

int64_t SlabAllocator::ClassBytes(int size_class) { return kClassBytes[size_class]; }

int64_t SlabAllocator::Allocate(int size_class) {
  std::vector<uint32_t>& candidates = with_room_[size_class];
  if (candidates.empty()) return -1;
  Span& span = spans_[candidates.back()];
  for (size_t word = 0; word < span.taken.size(); ++word) {
    if (span.taken[word] == ~uint64_t{0}) continue;
    const int bit = std::countr_one(span.taken[word]);
    span.taken[word] |= uint64_t{1} << bit;
    if (++span.used == span.objects) {
      span.listed = false;
      candidates.pop_back();
    }
    return span.offset + (static_cast<int64_t>(word) * 64 + bit) * ClassBytes(size_class);
  }
  return -1;
}

void SlabAllocator::ReserveSpan(int size_class) {
  ReserveFor(spans_, spans_.size() + 1);
  ReserveFor(unused_numbers_, spans_.size() + 1);
  ReserveFor(with_room_[size_class], spans_.size() + 1);
  next_taken_.assign((kSpanBytes / ClassBytes(size_class) + 63) / 64, 0);
}

uint32_t SlabAllocator::AddSpan(int size_class, int64_t offset) {
  ReserveSpan(size_class);
  uint32_t number = static_cast<uint32_t>(spans_.size());
  if (unused_numbers_.empty()) {
    spans_.emplace_back();
  } else {
    number = unused_numbers_.back();
    unused_numbers_.pop_back();
  }
  Span& span = spans_[number];
  span.offset = offset;
  span.size_class = size_class;
  span.objects = static_cast<int32_t>(kSpanBytes / ClassBytes(size_class));
  span.used = 0;
  span.taken = std::exchange(next_taken_, {});
  // The bits past the last object are taken for ever.
  if (span.objects % 64 != 0) span.taken.back() = ~uint64_t{0} << (span.objects % 64);
  span.listed = true;
  with_room_[size_class].push_back(number);
  return number;
}

bool SlabAllocator::Free(uint32_t number, int64_t offset, bool* span_empty) {
  if (ObjectBytes(number, offset) == 0) return false;
  Span& span = spans_[number];
  const int64_t index = (offset - span.offset) / ClassBytes(span.size_class);
  span.taken[index / 64] &= ~(uint64_t{1} << (index % 64));
  *span_empty = --span.used == 0;
  if (!span.listed) {
    span.listed = true;
    with_room_[span.size_class].push_back(number);
  }
  return true;
}

int64_t SlabAllocator::RemoveSpan(uint32_t number) {
  Span& span = spans_[number];
  std::vector<uint32_t>& candidates = with_room_[span.size_class];
  candidates.erase(std::find(candidates.begin(), candidates.end(), number));
  const int64_t offset = span.offset;
  span = Span();
  unused_numbers_.push_back(number);
  return offset;
}

int64_t SlabAllocator::ObjectBytes(uint32_t number, int64_t offset) const {
  if (number >= spans_.size() || spans_[number].offset < 0) return 0;
  const Span& span = spans_[number];
  const int64_t bytes = ClassBytes(span.size_class);
  const int64_t distance = offset - span.offset;
  if (distance < 0 || distance % bytes != 0 || distance / bytes >= span.objects) return 0;
  const int64_t index = distance / bytes;
  return (span.taken[index / 64] >> (index % 64) & 1) != 0 ? bytes : 0;
}

int64_t SlabAllocator::MetadataBytes() const {
  size_t bytes = spans_.capacity() * sizeof(Span) + unused_numbers_.capacity() * sizeof(uint32_t);
  for (const Span& span : spans_) bytes += span.taken.capacity() * sizeof(uint64_t);
  for (const std::vector<uint32_t>& numbers : with_room_) bytes += numbers.capacity() * sizeof(uint32_t);
  return static_cast<int64_t>(bytes);
}

}  // namespace thermocline::arena

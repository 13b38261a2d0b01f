#include "tests/base/failing_new.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace thermocline::testing {
namespace {

// Allocations of this thread that succeed until one fails; below 0: all do.
thread_local int64_t t_until_failure = -1;
thread_local int64_t t_failed = 0;

void* AllocateOrFail(size_t bytes, size_t alignment) {
  if (t_until_failure == 0) {
    ++t_failed;
    return nullptr;
  }
  if (t_until_failure > 0) --t_until_failure;
  return std::aligned_alloc(alignment, (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment);
}
void* AllocateOrThrow(size_t bytes, size_t alignment) {
  void* const pointer = AllocateOrFail(bytes, alignment);
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

}  // namespace

NoMemory::NoMemory(int64_t but) { t_until_failure = but; }
NoMemory::~NoMemory() { t_until_failure = -1; }
int64_t NoMemory::failed() { return t_failed; }

}  // namespace thermocline::testing

using thermocline::testing::AllocateOrFail;
using thermocline::testing::AllocateOrThrow;

void* operator new(size_t bytes) { return AllocateOrThrow(bytes, alignof(std::max_align_t)); }
void* operator new[](size_t bytes) { return AllocateOrThrow(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return AllocateOrThrow(bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return AllocateOrFail(bytes, alignof(std::max_align_t));
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return AllocateOrFail(bytes, alignof(std::max_align_t));
}
void operator delete(void* pointer) noexcept { std::free(pointer); }
void operator delete[](void* pointer) noexcept { std::free(pointer); }
void operator delete(void* pointer, size_t) noexcept { std::free(pointer); }
void operator delete[](void* pointer, size_t) noexcept { std::free(pointer); }
void operator delete(void* pointer, std::align_val_t) noexcept { std::free(pointer); }
void operator delete(void* pointer, size_t, std::align_val_t) noexcept { std::free(pointer); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { std::free(pointer); }
void operator delete[](void* pointer, const std::nothrow_t&) noexcept { std::free(pointer); }

// operator new and delete of this library's own code, the runtime included: they go to the next malloc, on every
// thread.
//
// The export map keeps them out of the program's sight. Without them a mover's large table would be placed by the
// runtime whose mover is making it. delete goes through free(), since libstdc++ may have allocated what is deleted
// here.

#include <cstdlib>
#include <new>

#include "src/adapters/preload/real_calls.h"

namespace {

void* Allocate(std::size_t bytes) {
  if (void* pointer = thermocline::preload::Real().malloc(bytes != 0 ? bytes : 1)) return pointer;
  throw std::bad_alloc();
}
void* Allocate(std::size_t bytes, std::align_val_t alignment) {
  void* pointer = thermocline::preload::Real().memalign(static_cast<std::size_t>(alignment), bytes != 0 ? bytes : 1);
  if (pointer != nullptr) return pointer;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return Allocate(bytes); }
void* operator new[](std::size_t bytes) { return Allocate(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return Allocate(bytes, alignment); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return Allocate(bytes, alignment); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return thermocline::preload::Real().malloc(bytes != 0 ? bytes : 1);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return thermocline::preload::Real().malloc(bytes != 0 ? bytes : 1);
}
void operator delete(void* pointer) noexcept { free(pointer); }
void operator delete[](void* pointer) noexcept { free(pointer); }
void operator delete(void* pointer, std::size_t) noexcept { free(pointer); }
void operator delete[](void* pointer, std::size_t) noexcept { free(pointer); }
void operator delete(void* pointer, std::align_val_t) noexcept { free(pointer); }
void operator delete[](void* pointer, std::align_val_t) noexcept { free(pointer); }
void operator delete(void* pointer, std::size_t, std::align_val_t) noexcept { free(pointer); }
void operator delete[](void* pointer, std::size_t, std::align_val_t) noexcept { free(pointer); }

#include "src/os/memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace thermocline::os {
namespace {

// Far below where the kernel places mappings of its own choice (top down from the stack, or bottom up from a third of
// the address space) and above what programs ask for by address; a hole there stays a hole.
constexpr uint64_t kQuietAddresses[] = {0x1200'0000'0000, 0x1800'0000'0000, 0x2000'0000'0000, 0x0c00'0000'0000};

#if defined(__SANITIZE_THREAD__)
constexpr bool kQuietAddressesUsable = false;  // they are its shadow memory
#else
constexpr bool kQuietAddressesUsable = sizeof(void*) == 8;
#endif

int ToMmapProtection(Protection protection) {
  switch (protection) {
    case Protection::kNone:
      return PROT_NONE;
    case Protection::kRead:
      return PROT_READ;
    case Protection::kReadWrite:
      return PROT_READ | PROT_WRITE;
  }
  return PROT_NONE;
}

int ErrnoOf(bool ok) { return ok ? 0 : errno; }

class RealMemoryImpl final : public Memory {
 public:
  absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) override {
    const size_t length = size.count();
    if (kQuietAddressesUsable) {
      for (uint64_t address : kQuietAddresses) {
        void* at = mmap(reinterpret_cast<void*>(address), length, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (at == reinterpret_cast<void*>(address)) return static_cast<char*>(at);
        if (at != MAP_FAILED) munmap(at, length);
      }
    }
    const size_t padded = length + alignment.count();
    void* at = mmap(nullptr, padded, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
      return absl::ResourceExhaustedError(absl::StrCat("mmap refused ", FormatBytes(Bytes(padded)),
                                                       " of address space: ", strerror(errno),
                                                       "; raise `ulimit -v` or vm.overcommit_memory"));
    }
    quiet_.store(false, std::memory_order_relaxed);
    const uintptr_t begin = reinterpret_cast<uintptr_t>(at);
    const uintptr_t mask = alignment.count() - 1;
    char* const aligned = reinterpret_cast<char*>((begin + mask) & ~mask);
    if (aligned != at) munmap(at, aligned - static_cast<char*>(at));
    munmap(aligned + length, static_cast<char*>(at) + padded - (aligned + length));
    return aligned;
  }

  int MapFresh(char* at, Bytes size, bool huge_pages) override {
    void* result =
        mmap(at, size.count(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (result == MAP_FAILED) return errno;
    // Best effort: without huge pages everything works the same, slower.
    madvise(at, size.count(), huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return 0;
  }

  int Attach(char* home, char* at, Bytes size, Protection protection) override {
    if (protection != Protection::kReadWrite) {
      if (const int error = Protect(home, size, protection)) return error;
    }
    return Move(home, at, size, quiet());
  }

  int Detach(char* at, char* home, Bytes size) override {
    // Where other mappings could fall into the hole, it must never exist: the address turns inaccessible first and
    // stays mapped so.
    // Asked once: another thread's reservation may end the quiet in between, and what stayed mapped would be open.
    const bool quiet_now = quiet();
    if (!quiet_now) {
      if (const int error = Protect(at, size, Protection::kNone)) return error;
    }
    if (const int error = Move(at, home, size, quiet_now)) return error;
    return Protect(home, size, Protection::kReadWrite);
  }

  int Protect(char* at, Bytes size, Protection protection) override {
    return ErrnoOf(mprotect(at, size.count(), ToMmapProtection(protection)) == 0);
  }

  void Collapse(char* at, Bytes size) override { madvise(at, size.count(), MADV_COLLAPSE); }

  int Discard(char* at, Bytes size) override { return ErrnoOf(madvise(at, size.count(), MADV_DONTNEED) == 0); }

  int Unmap(char* at, Bytes size) override { return ErrnoOf(munmap(at, size.count()) == 0); }

  bool quiet() const { return quiet_.load(std::memory_order_relaxed); }

 private:
  int Move(char* from, char* to, Bytes size, bool quiet_now) {
    const int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (quiet_now ? 0 : MREMAP_DONTUNMAP);
    return ErrnoOf(mremap(from, size.count(), size.count(), flags, to) != MAP_FAILED);
  }

  std::atomic<bool> quiet_{true};  // every reservation so far lies where no other mapping falls
};

RealMemoryImpl& TheMemory() {
  static RealMemoryImpl* const memory = new RealMemoryImpl;
  return *memory;
}

}  // namespace

Memory& RealMemory() { return TheMemory(); }

bool AddressesAreQuiet() { return TheMemory().quiet(); }

int64_t MaxMapCount() {
  std::ifstream file("/proc/sys/vm/max_map_count");
  int64_t count = 0;
  return file >> count && count > 0 ? count : 65530;
}

Bytes ResidentBytes(const void* begin, Bytes size) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  std::array<unsigned char, 8192> present;
  const int64_t window = std::ssize(present) * page;
  int64_t pages = 0;
  for (int64_t offset = 0; offset < size.count(); offset += window) {
    const int64_t length = std::min(window, size.count() - offset);
    if (mincore(static_cast<char*>(const_cast<void*>(begin)) + offset, length, present.data()) != 0) continue;
    pages += std::count_if(present.begin(), present.begin() + (length + page - 1) / page,
                           [](unsigned char state) { return (state & 1) != 0; });
  }
  return Bytes(pages * page);
}

Bytes PhysicalMemory() { return Bytes(int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE)); }

}  // namespace thermocline::os

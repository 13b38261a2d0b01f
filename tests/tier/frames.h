// Frames: aligned memory of known contents, for the tests of tiers.
#ifndef THERMOCLINE_TESTS_TIER_FRAMES_H_
#define THERMOCLINE_TESTS_TIER_FRAMES_H_

#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "src/base/units.h"

namespace thermocline::tier {

// Memory for a number of granules, aligned as frames are.
class Frames {
 public:
  Frames(int count, Bytes granule) : granule_(granule.count()), bytes_(count * granule_) {
    memory_ = static_cast<char*>(
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
  }
  ~Frames() { munmap(memory_, bytes_); }
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;

  char* operator[](int index) const { return memory_ + index * granule_; }
  // Bytes that differ between any two seeds, and within a granule.
  void Fill(int index, uint64_t seed) const {
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int64_t i = 0; i < granule_ / 8; ++i) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      std::memcpy((*this)[index] + i * 8, &state, 8);
    }
  }
  bool Holds(int index, uint64_t seed) const {
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int64_t i = 0; i < granule_ / 8; ++i) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      if (std::memcmp((*this)[index] + i * 8, &state, 8) != 0) return false;
    }
    return true;
  }
  void Clear(int index) const { std::memset((*this)[index], 0, granule_); }

 private:
  const int64_t granule_;
  const int64_t bytes_;
  char* memory_;
};

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TESTS_TIER_FRAMES_H_

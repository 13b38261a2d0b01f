// The units and identifiers of the project, as types.
//
// No interface takes a naked integer for one of these. Thread safety: plain values.
#ifndef THERMOCLINE_BASE_UNITS_H_
#define THERMOCLINE_BASE_UNITS_H_

#include <compare>
#include <cstdint>

#include "src/base/strong_int.h"

namespace thermocline {

// A number of bytes: a size, or the distance between two addresses. Signed, so that differences can be taken.
class Bytes {
 public:
  constexpr Bytes() = default;
  constexpr explicit Bytes(int64_t count) : count_(count) {}

  constexpr int64_t count() const { return count_; }
  constexpr auto operator<=>(const Bytes&) const = default;

  constexpr Bytes& operator+=(Bytes other) {
    count_ += other.count_;
    return *this;
  }
  constexpr Bytes& operator-=(Bytes other) {
    count_ -= other.count_;
    return *this;
  }
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return Bytes(a.count_ + b.count_); }
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return Bytes(a.count_ - b.count_); }
  friend constexpr Bytes operator*(Bytes a, int64_t n) { return Bytes(a.count_ * n); }
  friend constexpr Bytes operator*(int64_t n, Bytes a) { return a * n; }
  friend constexpr Bytes operator/(Bytes a, int64_t n) { return Bytes(a.count_ / n); }
  friend constexpr int64_t operator/(Bytes a, Bytes b) { return a.count_ / b.count_; }
  friend constexpr Bytes operator%(Bytes a, Bytes b) { return Bytes(a.count_ % b.count_); }

 private:
  int64_t count_ = 0;
};

constexpr Bytes KiB(int64_t n) { return Bytes(n << 10); }
constexpr Bytes MiB(int64_t n) { return Bytes(n << 20); }
constexpr Bytes GiB(int64_t n) { return Bytes(n << 30); }

// The smallest multiple of `unit` that is at least `bytes`. REQUIRES: unit > 0, bytes >= 0.
constexpr Bytes RoundUp(Bytes bytes, Bytes unit) {
  return Bytes((bytes.count() + unit.count() - 1) / unit.count() * unit.count());
}
// The largest multiple of `unit` that is at most `bytes`. REQUIRES: unit > 0, bytes >= 0.
constexpr Bytes RoundDown(Bytes bytes, Bytes unit) { return Bytes(bytes.count() / unit.count() * unit.count()); }

// A rate of transfer. Zero means unknown.
class BytesPerSecond {
 public:
  constexpr BytesPerSecond() = default;
  constexpr explicit BytesPerSecond(double rate) : rate_(rate) {}
  constexpr double rate() const { return rate_; }
  constexpr auto operator<=>(const BytesPerSecond&) const = default;

 private:
  double rate_ = 0;
};

// Seconds that `bytes` take at `rate`. REQUIRES: rate > 0.
constexpr double SecondsFor(Bytes bytes, BytesPerSecond rate) {
  return static_cast<double>(bytes.count()) / rate.rate();
}

// A layer of the step, counted from 0 in the order in which the step runs them.
using LayerId = StrongInt<struct LayerIdTag, int32_t>;
// A tensor of a profile or trace.
using TensorId = StrongInt<struct TensorIdTag, int64_t>;
// A tier, 0 is the fastest.
using TierId = StrongInt<struct TierIdTag, int32_t>;
// The unit that migrates, counted from the arena's base address.
using GranuleId = StrongInt<struct GranuleIdTag, uint32_t>;
// A physical piece of fast memory, one granule large.
using FrameId = StrongInt<struct FrameIdTag, uint32_t>;
// A place for one granule's bytes in a slow tier.
using SlotId = StrongInt<struct SlotIdTag, uint32_t>;

inline constexpr LayerId kNoLayer{-1};
inline constexpr FrameId kNoFrame{0xffffffffu};
inline constexpr SlotId kNoSlot{0xffffffffu};

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_UNITS_H_

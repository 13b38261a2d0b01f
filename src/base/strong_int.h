// StrongInt<Tag, Rep>: an integer that can't be mixed up with another one.
//
// Thread safety: a plain value. Errors: none; arithmetic wraps or overflows as Rep does.
#ifndef THERMOCLINE_BASE_STRONG_INT_H_
#define THERMOCLINE_BASE_STRONG_INT_H_

#include <compare>
#include <cstddef>
#include <functional>
#include <utility>

namespace thermocline {

// An identifier or an index: it can be compared, incremented and hashed, but not added up.
template <typename Tag, typename Rep>
class StrongInt {
 public:
  using rep = Rep;

  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const StrongInt&) const = default;
  constexpr StrongInt& operator++() {
    ++value_;
    return *this;
  }

  template <typename H>
  friend H AbslHashValue(H h, StrongInt id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  Rep value_{};
};

}  // namespace thermocline

template <typename Tag, typename Rep>
struct std::hash<thermocline::StrongInt<Tag, Rep>> {
  std::size_t operator()(thermocline::StrongInt<Tag, Rep> id) const noexcept { return std::hash<Rep>()(id.value()); }
};

#endif  // THERMOCLINE_BASE_STRONG_INT_H_

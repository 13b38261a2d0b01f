// SystemCalls: the seam through which the probes and the measurement ask the kernel, so that a test can play a kernel
// that refuses.
//
// Thread safety: every implementation may be called from any thread. Errors: a result from -4095 to -1 is minus an
// errno.
#ifndef THERMOCLINE_TOPOLOGY_SYSTEM_CALLS_H_
#define THERMOCLINE_TOPOLOGY_SYSTEM_CALLS_H_

#include <cstdint>
#include <type_traits>

namespace thermocline::topology {

class SystemCalls {
 public:
  virtual ~SystemCalls() = default;
  // `number` is a SYS_ constant; the arguments are what the kernel takes.
  virtual long Call(long number, const long (&arguments)[6]) const = 0;

  // Pointers and integers of any kind, passed as the kernel wants them.
  template <typename... Arguments>
  long operator()(long number, Arguments... arguments) const {
    static_assert(sizeof...(Arguments) <= 6);
    const long words[6] = {ToWord(arguments)...};
    return Call(number, words);
  }

 private:
  template <typename T>
  static long ToWord(T value) {
    if constexpr (std::is_pointer_v<T>)
      return reinterpret_cast<long>(value);
    else if constexpr (std::is_null_pointer_v<T>)
      return 0;
    else
      return static_cast<long>(value);
  }
};

// True when a result of Call is an error.
constexpr bool Failed(long result) { return result < 0 && result >= -4095; }

// syscall(2). Never destroyed.
const SystemCalls& RealSystemCalls();

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TOPOLOGY_SYSTEM_CALLS_H_

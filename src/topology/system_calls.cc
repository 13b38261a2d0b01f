#include "src/topology/system_calls.h"

#include <errno.h>
#include <unistd.h>

namespace thermocline::topology {
namespace {

class RealCalls final : public SystemCalls {
 public:
  long Call(long number, const long (&a)[6]) const override {
    const long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return result == -1 ? -static_cast<long>(errno) : result;
  }
};

}  // namespace

const SystemCalls& RealSystemCalls() {
  static const RealCalls& calls = *new RealCalls;
  return calls;
}

}  // namespace thermocline::topology

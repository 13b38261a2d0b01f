// OperatorCheck: what an adapter says that each operator touches, held against what a page-level step saw.
//
// An adapter's accesses are cheap and come with every step, but may be wrong: an operator may touch more than its
// operands, or not all of them. A page-level step is the judge.
// Thread safety: none of its own. Ownership: by value.
#ifndef THERMOCLINE_PROFILE_OPERATOR_CHECK_H_
#define THERMOCLINE_PROFILE_OPERATOR_CHECK_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "src/base/units.h"
#include "src/profile/profile.h"

namespace thermocline::profile {

class OperatorCheck {
 public:
  // Counts of (tensor, layer).
  struct Result {
    int64_t declared = 0;
    int64_t confirmed = 0;          // declared, and seen to be touched so
    int64_t unseen = 0;             // declared, but no page of it was touched
    int64_t undeclared = 0;         // touched, but not declared
    int64_t undeclared_writes = 0;  // declared as read only, but written

    int64_t mismatches() const { return unseen + undeclared + undeclared_writes; }
    bool operator==(const Result&) const = default;
  };

  // In the layer that runs, the tensor (its position in the profile) is touched.
  void Declare(int64_t tensor, bool write) { declared_[tensor] |= write; }
  // The layer has ended, and `tensors` has what pages saw of it. Layers without any declaration are not judged.
  void EndLayer(LayerId layer, const std::vector<Tensor>& tensors);
  const Result& result() const { return result_; }
  // "" when there is nothing to say.
  std::string Describe() const;

 private:
  // In this layer: tensor to whether it is written. Not Abseil's, which an insertion that finds no memory leaves
  // broken.
  std::unordered_map<int64_t, bool> declared_;
  Result result_;
};

}  // namespace thermocline::profile

#endif  // THERMOCLINE_PROFILE_OPERATOR_CHECK_H_

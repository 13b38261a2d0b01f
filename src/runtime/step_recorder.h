// StepRecorder: joins what the allocator knows (sizes, lives) and what the page recorder sees (touches) into a Profile.
//
// Thread safety: every function from any thread. Begin, EndLayer and End come from the thread that drives the step.
// Ownership: borrows the residency, which it arms from Begin to End. Errors: without memory OnAllocate and EndLayer
// throw std::bad_alloc, and have recorded nothing; OnFree needs none.
#ifndef THERMOCLINE_RUNTIME_STEP_RECORDER_H_
#define THERMOCLINE_RUNTIME_STEP_RECORDER_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/arena/allocator.h"
#include "src/arena/residency.h"
#include "src/base/clock.h"
#include "src/profile/operator_check.h"
#include "src/profile/profile.h"
#include "src/runtime/page_recorder.h"

namespace thermocline::runtime {

class StepRecorder {
 public:
  StepRecorder(arena::Residency& residency, const Clock& clock) : residency_(residency), clock_(clock) {}

  // A step begins. `live`: the tensors that are there already.
  void Begin(const std::vector<arena::Allocation>& live);
  void OnAllocate(uint64_t serial, char* address, Bytes requested, Bytes rounded, LayerId layer, int32_t ordinal);
  void OnFree(uint64_t serial, char* address, LayerId layer);
  // An operator of this layer is said to touch the tensor at the address (tensors that are not known are ignored).
  void Declare(const void* address, bool writes);
  // Of the last profiled step.
  profile::OperatorCheck::Result operator_check() const { return check_.result(); }
  // The layer ends; `exposed_nanos` of its time were waits.
  void EndLayer(LayerId layer, absl::string_view name, int64_t exposed_nanos);
  // The step's last layer has ended.
  profile::Profile End();

 private:
  arena::Residency& residency_;
  const Clock& clock_;
  PageRecorder pages_;            // guarded by the residency lock
  profile::Profile profile_;      // likewise
  profile::OperatorCheck check_;  // likewise
  // Likewise: serial to tensor. Not Abseil's, which an insertion that finds no memory leaves broken.
  std::unordered_map<uint64_t, int64_t> index_of_;
  int64_t events_ = 0;
  int64_t layer_began_ = 0;
  std::vector<int64_t> layer_starts_;  // events before the end of each layer
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_STEP_RECORDER_H_

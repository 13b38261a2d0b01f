// PageRecorder: turns touches of granules into touches of tensors, page window by page window, for one profiled step.
//
// What it counts: for each tensor and layer, how many windows were touched first by a read, and how many were written.
// A window is 4 KiB for tensors under 256 KiB and 64 KiB above, never across two tensors. A window that is written
// first counts as a write only: later reads of it in that layer are not seen. Thread safety: OnTouch comes under the
// residency lock, in fault handlers too, and allocates nothing. Everything else is called with the residency lock held
// by the caller's hand (Residency::Lock), as it changes what OnTouch reads.
#ifndef THERMOCLINE_RUNTIME_PAGE_RECORDER_H_
#define THERMOCLINE_RUNTIME_PAGE_RECORDER_H_

#include <cstdint>
#include <vector>

#include "src/arena/access_recorder.h"
#include "src/base/units.h"
#include "src/profile/profile.h"

namespace thermocline::runtime {

class PageRecorder final : public arena::AccessRecorder {
 public:
  // A tensor in [begin, begin + rounded); `index` is its position in the profile. Throws std::bad_alloc, with nothing
  // changed, when there is no memory for it; RemoveTensor then needs none.
  void AddTensor(char* begin, Bytes rounded, int64_t index);
  // It is freed: its touches so far are kept for the end of the layer.
  void RemoveTensor(char* begin);

  // The position of the tensor at the address, -1 when there is none.
  int64_t TensorAt(const char* address) const;
  Window OnTouch(char* address, os::FaultAccess access) override;

  // Ends the layer: appends its touches to the tensors' accesses. Throws std::bad_alloc, with nothing changed, when
  // there is no memory for them.
  void EndLayer(LayerId layer, std::vector<profile::Tensor>* tensors);
  // Touches since the last EndLayer.
  int64_t touches() const { return touches_; }

 private:
  struct Live {
    char* begin;
    char* end;
    int64_t index;
    int64_t window;
    int64_t reads = 0;
    int64_t writes = 0;
  };

  std::vector<Live> live_;  // sorted by address
  std::vector<Live> gone_;  // freed in this layer, with touches
  int64_t touches_ = 0;
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_PAGE_RECORDER_H_

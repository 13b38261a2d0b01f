// Profile: what one step of a network did to memory. Trace format 1 (docs/formats.md) is its written form.
//
// Thread safety: plain data. Ownership: by value.
#ifndef THERMOCLINE_PROFILE_PROFILE_H_
#define THERMOCLINE_PROFILE_PROFILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/base/units.h"

namespace thermocline::profile {

// What one layer did to one tensor.
struct Access {
  LayerId layer;
  bool read = false;
  bool write = false;
  bool overwrite = false;  // writes every byte before reading any: nothing need be fetched. Implies write.
  int64_t pages = 0;       // page accesses that were seen; 0: not counted

  bool operator==(const Access&) const = default;
};

// One allocation.
struct Tensor {
  TensorId id;
  Bytes bytes;
  // The layers in which it is first and last alive. birth == kNoLayer: it was there before the step. death == kNoLayer:
  // it lives across steps (weights, optimizer state). death < birth (both set): born late in a step, freed early in the
  // next one.
  LayerId birth = kNoLayer;
  LayerId death = kNoLayer;
  // Position among the allocations of its birth layer, by the thread that drives the step: with (birth, rounded bytes)
  // it identifies the tensor in every step. -1: not matched (another thread's).
  int32_t ordinal = -1;
  // Positions of the allocation and of the free in the step's sequence of events; -1: not known (use the layers).
  int64_t birth_event = -1;
  int64_t death_event = -1;
  // Where it lies already, as a distance from the arena's base: it can't be laid out anew. -1: it can.
  int64_t fixed_offset = -1;
  std::vector<Access> accesses;  // sorted by layer, one per layer

  bool persistent() const { return death == kNoLayer; }
  bool operator==(const Tensor&) const = default;
};

struct Layer {
  std::string name;
  double seconds = 0;  // with all operands fast
  Bytes floor;         // resident at once; 0: the sum of what it touches
  double flops = 0;    // 0: unknown
  double bytes = 0;    // memory traffic of its kernels; 0: unknown
  // Positions of the layer's start in the step's sequence of events; -1: not known.
  int64_t first_event = -1;

  bool operator==(const Layer&) const = default;
};

struct Profile {
  std::string model;
  int64_t batch = 0;
  Bytes page_bytes{4096};
  Bytes peak_bytes;  // largest sum of live tensor bytes; 0: to be computed
  std::vector<Layer> layers;
  std::vector<Tensor> tensors;

  bool operator==(const Profile&) const = default;
};

// Refuses what makes no sense: touches outside a life, layers out of range, negative or overflowing sizes, NaN times,
// duplicate ids. The message names the tensor or layer and the reason.
absl::Status Validate(const Profile& profile);

// True when the tensor is alive in some part of `layer`. REQUIRES: 0 <= layer < layers.
bool AliveIn(const Tensor& tensor, LayerId layer);

// The largest sum of live bytes over the step: by events where they are known, else by layers.
Bytes PeakBytes(const Profile& profile);

// The largest sum of bytes that one layer touches (or its `floor` where that is given), and which layer it is.
struct Floor {
  Bytes bytes;
  LayerId layer = kNoLayer;
};
Floor FloorBytes(const Profile& profile);

// A hash of the sequence of (layer, ordinal, rounded bytes) and the layer count: equal for steps that can share a plan.
uint64_t SequenceHash(const Profile& profile);

// A hash of everything in it, for the headers of plans.
uint64_t ContentHash(const Profile& profile);

}  // namespace thermocline::profile

#endif  // THERMOCLINE_PROFILE_PROFILE_H_

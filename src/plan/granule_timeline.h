// GranuleTimeline: what a step does to each granule, derived from (profile, layout): in which layers it is touched and
// how, and how long it holds live content after each of them.
//
// Content begins with a tensor's first access after its birth and ends with the layer that frees it; only live content
// must survive. Layers are cyclic: distances are counted forward, around the end.
// Thread safety: pure function. REQUIRES: profile::Validate(profile).ok().
#ifndef THERMOCLINE_PLAN_GRANULE_TIMELINE_H_
#define THERMOCLINE_PLAN_GRANULE_TIMELINE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/base/units.h"
#include "src/profile/profile.h"

namespace thermocline::plan {

// One layer's touches of one granule.
struct GranuleUse {
  int32_t layer = 0;
  bool read = false;
  bool write = false;          // by an access, or by the first access to what is born
  bool live_before = false;    // holds live content when the layer starts
  bool needs_content = false;  // ... and some of it is not overwritten unread
  int32_t next = 0;            // layers until the next use of this granule; the step's length when this is the only one
  int32_t live_for = 0;  // layers after this one in which it holds live content, at most `next`: 0 when the content
                         // dies in this layer, `next` when it is still needed then
  bool operator==(const GranuleUse&) const = default;
};

struct GranuleLife {
  GranuleId granule;
  std::vector<GranuleUse> uses;  // sorted by layer
  bool always_live = false;      // holds content that outlives steps, touched or not
};

struct GranuleTimeline {
  int32_t layers = 0;
  std::vector<GranuleLife> granules;  // sorted by id; only those that hold some tensor
};

// `offsets` has one entry a tensor of the profile.
GranuleTimeline MakeTimeline(const profile::Profile& profile, absl::Span<const int64_t> offsets, Bytes granule);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_GRANULE_TIMELINE_H_

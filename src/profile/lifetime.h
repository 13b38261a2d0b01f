// Lifetime: when a tensor is alive, on one clock for the whole step, so that planners and peaks agree about overlaps.
//
// The clock counts the step's events where every tensor that comes or goes has them, else layers. A step is a cycle: a
// tensor that is born late and freed early in the next step is alive in two pieces.
// Thread safety: pure functions. REQUIRES: Validate(profile).ok().
#ifndef THERMOCLINE_PROFILE_LIFETIME_H_
#define THERMOCLINE_PROFILE_LIFETIME_H_

#include <cstdint>
#include <vector>

#include "src/profile/profile.h"

namespace thermocline::profile {

// Alive in [begin, end) and, when the life wraps around, also in [begin2, end2). An empty second piece is [-1, -1).
struct Lifetime {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t begin2 = -1;
  int64_t end2 = -1;

  bool Overlaps(const Lifetime& other) const {
    return (begin < other.end && other.begin < end) || (begin < other.end2 && other.begin2 < end) ||
           (begin2 < other.end && other.begin < end2) || (begin2 < other.end2 && other.begin2 < end2);
  }
  int64_t length() const { return (end - begin) + (end2 - begin2); }
};

// One a tensor, in the profile's order. What lives across steps, and what was there before the step and isn't freed in
// it, is alive all the time.
std::vector<Lifetime> Lifetimes(const Profile& profile);

}  // namespace thermocline::profile

#endif  // THERMOCLINE_PROFILE_LIFETIME_H_

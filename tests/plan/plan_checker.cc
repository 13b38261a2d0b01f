#include "tests/plan/plan_checker.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/profile/lifetime.h"

namespace thermocline::plan {
namespace {

using profile::Access;
using profile::Profile;
using profile::Tensor;

std::string Name(GranuleId granule) { return absl::StrCat("granule ", granule.value()); }

// The granules that a tensor of the plan covers.
std::vector<GranuleId> Granules(const Placement& placement, Bytes granule) {
  std::vector<GranuleId> result;
  if (placement.bytes == Bytes(0)) return result;
  const int64_t last = (placement.offset + placement.bytes.count() - 1) / granule.count();
  for (int64_t g = placement.offset / granule.count(); g <= last; ++g) {
    result.push_back(GranuleId(static_cast<uint32_t>(g)));
  }
  return result;
}

// Follows the actions layer by layer. What is released is gone at once, what is fetched is there at once: so the count
// is what the plan itself believes to hold, transfers to come included.
class Walk {
 public:
  explicit Walk(const MigrationPlan& plan) : plan_(plan) {
    held_.insert(plan.resident_at_start.begin(), plan.resident_at_start.end());
  }

  absl::Status Layer(size_t l) {
    const LayerActions& actions = plan_.layers[l];
    for (const GranuleId g : actions.release) {
      if (held_.erase(g) == 0) return Wrong(l, g, "is released but not held");
    }
    for (const GranuleId g : actions.provide) {
      if (!held_.insert(g).second) return Wrong(l, g, "is provided but held already");
    }
    for (const Fetch& fetch : actions.fetch) {
      if (!held_.insert(fetch.granule).second) return Wrong(l, fetch.granule, "is fetched but held already");
      deadlines_[fetch.granule] = fetch.deadline.value();
    }
    const int64_t frames = plan_.budget / plan_.granule_bytes;
    if (static_cast<int64_t>(held_.size()) > frames) {
      return absl::InternalError(absl::StrCat("layer ", l, " holds ", held_.size(), " of ", frames, " frames"));
    }
    return absl::OkStatus();
  }

  bool Holds(GranuleId granule) const { return held_.contains(granule); }
  const std::set<GranuleId>& held() const { return held_; }

  static absl::Status Wrong(size_t layer, GranuleId granule, absl::string_view what) {
    return absl::InternalError(absl::StrCat("layer ", layer, ": ", Name(granule), " ", what));
  }

 private:
  const MigrationPlan& plan_;
  std::set<GranuleId> held_;
  std::map<GranuleId, int32_t> deadlines_;
};

bool Moves(const MigrationPlan& plan) {
  return std::any_of(plan.layers.begin(), plan.layers.end(), [](const LayerActions& actions) {
    return !actions.release.empty() || !actions.fetch.empty() || !actions.provide.empty();
  });
}

}  // namespace

absl::Status CheckFrames(const Profile& profile, const MigrationPlan& plan) {
  const int64_t frames = plan.budget / plan.granule_bytes;
  if (static_cast<int64_t>(plan.resident_at_start.size()) > frames) {
    return absl::InternalError(
        absl::StrCat(plan.resident_at_start.size(), " granules resident at the start, but only ", frames, " frames"));
  }
  if (plan.layers.size() != profile.layers.size()) return absl::InternalError("the plan has another number of layers");
  Walk walk(plan);
  const std::set<GranuleId> start = walk.held();
  for (int step = 0; step < 2; ++step) {
    for (size_t l = 0; l < plan.layers.size(); ++l) {
      if (absl::Status status = walk.Layer(l); !status.ok()) return status;
    }
    if (walk.held() != start) return absl::InternalError("the step does not end as it began");
  }
  return absl::OkStatus();
}

absl::Status CheckPlacements(const Profile& profile, const MigrationPlan& plan) {
  const std::vector<profile::Lifetime> lives = profile::Lifetimes(profile);
  for (size_t i = 0; i < plan.placements.size(); ++i) {
    const Placement& a = plan.placements[i];
    const Tensor& tensor = profile.tensors[i];
    if (a.tensor != tensor.id || a.bytes != tensor.bytes) return absl::InternalError("placements are out of order");
    if (tensor.fixed_offset >= 0) {
      if (a.offset != tensor.fixed_offset || a.region != Region::kFixed) {
        return absl::InternalError(absl::StrCat("tensor ", a.tensor.value(), " was moved from its fixed place"));
      }
    } else if (a.offset % 4096 != 0 || a.offset < plan.layout_base || a.offset + a.bytes.count() > plan.layout_end) {
      return absl::InternalError(absl::StrCat("tensor ", a.tensor.value(), " lies badly, at ", a.offset));
    }
    for (size_t j = 0; j < i; ++j) {
      const Placement& b = plan.placements[j];
      const bool overlap = a.offset < b.offset + b.bytes.count() && b.offset < a.offset + a.bytes.count();
      if (overlap && lives[i].Overlaps(lives[j])) {
        return absl::InternalError(
            absl::StrCat("tensors ", a.tensor.value(), " and ", b.tensor.value(), " are alive together and overlap"));
      }
      const bool regions_meet = (a.region == Region::kShortLived) != (b.region == Region::kShortLived) && overlap;
      if (regions_meet) return absl::InternalError("a short-lived tensor lies outside of its region");
    }
  }
  return absl::OkStatus();
}

namespace {

// Layer by layer: the granules that some tensor touches, and those that hold content from before the layer.
struct Truth {
  std::vector<std::set<GranuleId>> touched;
  std::vector<std::set<GranuleId>> content;
};

// Content exists in a layer from before it when its tensor was alive and touched in an earlier layer of the same life.
bool HasContentBefore(const Tensor& tensor, int32_t layer, int32_t layers) {
  if (tensor.persistent()) return true;
  const int32_t birth = std::max(tensor.birth.value(), 0);
  if (!profile::AliveIn(tensor, LayerId(layer))) return false;
  const int32_t age = (layer - birth + layers) % layers;
  return std::any_of(tensor.accesses.begin(), tensor.accesses.end(),
                     [&](const Access& access) { return (access.layer.value() - birth + layers) % layers < age; });
}

Truth FindTruth(const Profile& profile, const MigrationPlan& plan) {
  const int32_t layers = static_cast<int32_t>(profile.layers.size());
  Truth truth{std::vector<std::set<GranuleId>>(layers), std::vector<std::set<GranuleId>>(layers)};
  for (size_t i = 0; i < profile.tensors.size(); ++i) {
    for (const GranuleId g : Granules(plan.placements[i], plan.granule_bytes)) {
      for (const Access& access : profile.tensors[i].accesses) truth.touched[access.layer.value()].insert(g);
      for (int32_t l = 0; l < layers; ++l) {
        if (HasContentBefore(profile.tensors[i], l, layers)) truth.content[l].insert(g);
      }
    }
  }
  return truth;
}

// By when a fetch in layer `l` must be there, counted from `l`.
int32_t Ahead(const Fetch& fetch, size_t l, size_t layers) {
  return static_cast<int32_t>((fetch.deadline.value() + layers - l) % layers);
}

absl::Status CheckArrivals(const MigrationPlan& plan, const Truth& truth, size_t l, const Walk& walk) {
  const std::set<GranuleId> need(plan.layers[l].need.begin(), plan.layers[l].need.end());
  for (const GranuleId g : truth.touched[l]) {
    if (!walk.Holds(g)) return Walk::Wrong(l, g, "is touched but neither held nor fetched");
    if (!need.contains(g)) return Walk::Wrong(l, g, "is touched but not named as needed");
  }
  for (const GranuleId g : plan.layers[l].provide) {
    if (truth.content[l].contains(g)) return Walk::Wrong(l, g, "is provided empty, but holds content");
  }
  for (const Fetch& fetch : plan.layers[l].fetch) {
    // No later than the first layer that touches it.
    const size_t layers = plan.layers.size();
    for (int32_t ahead = 0; ahead < Ahead(fetch, l, layers); ++ahead) {
      if (truth.touched[(l + ahead) % layers].contains(fetch.granule)) {
        return Walk::Wrong(l, fetch.granule, "is fetched with a deadline after its first use");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDelivery(const Profile& profile, const MigrationPlan& plan) {
  const Truth truth = FindTruth(profile, plan);
  Walk walk(plan);
  for (size_t l = 0; l < plan.layers.size(); ++l) {
    // What leaves is not used in this layer, and was written back if it held content that a later layer wants.
    for (const GranuleId g : plan.layers[l].release) {
      if (truth.touched[l].contains(g)) return Walk::Wrong(l, g, "is released in a layer that touches it");
    }
    if (absl::Status status = walk.Layer(l); !status.ok()) return status;
    if (absl::Status status = CheckArrivals(plan, truth, l, walk); !status.ok()) return status;
  }
  if (!Moves(plan)) {
    for (const std::set<GranuleId>& touched : truth.touched) {
      for (const GranuleId g : touched) {
        if (!walk.Holds(g)) return absl::InternalError(absl::StrCat(Name(g), " is never resident"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace thermocline::plan

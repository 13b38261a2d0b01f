#include "src/plan/granule_timeline.h"

#include <algorithm>
#include <map>

namespace thermocline::plan {
namespace {

using profile::Access;
using profile::Tensor;

// When one tensor's content exists: from its first access on, for `length` layers after it (>= layers: always).
struct Content {
  int32_t first = 0;
  int32_t length = 0;
  bool always = false;
};

int32_t Distance(int32_t from, int32_t to, int32_t layers) { return (to - from + layers) % layers; }

Content ContentOf(const Tensor& tensor, int32_t layers) {
  if (tensor.persistent()) return {0, layers, true};
  const int32_t birth = std::max(tensor.birth.value(), 0);
  const int32_t death = tensor.death.value();
  // The first access in the order of the tensor's life, which may begin late in the step.
  int32_t first = -1;
  for (const Access& access : tensor.accesses) {
    if (first < 0 || Distance(birth, access.layer.value(), layers) < Distance(birth, first, layers)) {
      first = access.layer.value();
    }
  }
  if (first < 0) return {birth, -1, false};
  return {first, Distance(first, death, layers), false};
}

// How many more layers after `layer` the content lives; -1 when it does not exist at that layer's end.
int32_t LiveAfter(const Content& content, int32_t layer, int32_t layers) {
  if (content.always) return layers;
  const int32_t age = Distance(content.first, layer, layers);
  return age <= content.length ? content.length - age : -1;
}

class Builder {
 public:
  Builder(const profile::Profile& profile, int32_t layers) : layers_(layers), profile_(profile) {
    contents_.reserve(profile.tensors.size());
    for (const Tensor& tensor : profile.tensors) contents_.push_back(ContentOf(tensor, layers));
  }

  GranuleLife Build(GranuleId id, const std::vector<int32_t>& tensors) {
    GranuleLife life;
    life.granule = id;
    for (const int32_t t : tensors) {
      life.always_live |= contents_[t].always;
      AddUses(t, &life.uses);
    }
    Merge(&life.uses);
    for (size_t i = 0; i < life.uses.size(); ++i) Finish(tensors, i, &life.uses);
    for (size_t i = 0; i < life.uses.size(); ++i) {
      const GranuleUse& previous = life.uses[(i + life.uses.size() - 1) % life.uses.size()];
      life.uses[i].live_before = previous.live_for == previous.next;
      life.uses[i].needs_content &= life.uses[i].live_before;
    }
    return life;
  }

 private:
  void AddUses(int32_t t, std::vector<GranuleUse>* uses) const {
    for (const Access& access : profile_.tensors[t].accesses) {
      GranuleUse use;
      use.layer = access.layer.value();
      const bool first = !contents_[t].always && use.layer == contents_[t].first;
      use.read = access.read;
      // What is touched first after its birth exists nowhere else, even if the profile saw no write.
      use.write = access.write || first;
      use.needs_content = !first && !access.overwrite;
      uses->push_back(use);
    }
  }

  static void Merge(std::vector<GranuleUse>* uses) {
    std::stable_sort(uses->begin(), uses->end(),
                     [](const GranuleUse& a, const GranuleUse& b) { return a.layer < b.layer; });
    size_t kept = 0;
    for (size_t i = 0; i < uses->size(); ++i) {
      if (kept > 0 && (*uses)[kept - 1].layer == (*uses)[i].layer) {
        (*uses)[kept - 1].read |= (*uses)[i].read;
        (*uses)[kept - 1].write |= (*uses)[i].write;
        (*uses)[kept - 1].needs_content |= (*uses)[i].needs_content;
      } else {
        (*uses)[kept++] = (*uses)[i];
      }
    }
    uses->resize(kept);
  }

  // The distance to the next use, and how long the content lives until then. A tensor that is in the granule, alive,
  // but not touched in this layer counts too: its content must survive, and be there, as well.
  void Finish(const std::vector<int32_t>& tensors, size_t i, std::vector<GranuleUse>* uses) const {
    GranuleUse& use = (*uses)[i];
    const int32_t to_next = Distance(use.layer, (*uses)[(i + 1) % uses->size()].layer, layers_);
    use.next = to_next == 0 ? layers_ : to_next;
    int32_t live_for = 0;
    for (const int32_t t : tensors) {
      const int32_t after = LiveAfter(contents_[t], use.layer, layers_);
      live_for = std::max(live_for, after);
      // Untouched here but alive before: the granule can't be handed out empty.
      const bool existed = contents_[t].always || (after >= 0 && use.layer != contents_[t].first);
      if (existed && !Touches(t, use.layer)) use.needs_content = true;
    }
    use.live_for = std::min(live_for, use.next);
  }

  bool Touches(int32_t t, int32_t layer) const {
    const std::vector<Access>& accesses = profile_.tensors[t].accesses;
    const auto it = std::lower_bound(accesses.begin(), accesses.end(), layer,
                                     [](const Access& access, int32_t l) { return access.layer.value() < l; });
    return it != accesses.end() && it->layer.value() == layer;
  }

  int32_t layers_;
  const profile::Profile& profile_;
  std::vector<Content> contents_;
};

}  // namespace

GranuleTimeline MakeTimeline(const profile::Profile& profile, absl::Span<const int64_t> offsets, Bytes granule) {
  GranuleTimeline timeline;
  timeline.layers = static_cast<int32_t>(profile.layers.size());
  std::map<int64_t, std::vector<int32_t>> tensors_of;
  for (size_t t = 0; t < profile.tensors.size(); ++t) {
    const int64_t bytes = profile.tensors[t].bytes.count();
    if (bytes == 0) continue;
    const int64_t last = (offsets[t] + bytes - 1) / granule.count();
    for (int64_t g = offsets[t] / granule.count(); g <= last; ++g) tensors_of[g].push_back(static_cast<int32_t>(t));
  }
  Builder builder(profile, timeline.layers);
  timeline.granules.reserve(tensors_of.size());
  for (const auto& [g, tensors] : tensors_of) {
    timeline.granules.push_back(builder.Build(GranuleId(static_cast<uint32_t>(g)), tensors));
  }
  return timeline;
}

}  // namespace thermocline::plan

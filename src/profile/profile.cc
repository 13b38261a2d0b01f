#include "src/profile/profile.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/profile/lifetime.h"

namespace thermocline::profile {
namespace {

// Sums of sizes stay far from the end of int64_t below this.
constexpr int64_t kMaxBytes = int64_t{1} << 62;

// A hash that is the same in every process and on every machine, since plans that carry it are saved.
class StableHash {
 public:
  void Add(int64_t value) {
    uint64_t x = static_cast<uint64_t>(value) + 0x9e3779b97f4a7c15u + state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    state_ = x ^ (x >> 31);
  }
  void Add(double value) {
    int64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    Add(bits);
  }
  void Add(const std::string& text) {
    Add(static_cast<int64_t>(text.size()));
    for (const char c : text) Add(static_cast<int64_t>(static_cast<unsigned char>(c)));
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0x7468726d636c696eu;
};

absl::Status Refuse(absl::string_view what, int64_t which, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("profile: ", what, " ", which, ": ", why));
}

bool IsTime(double seconds) { return std::isfinite(seconds) && seconds >= 0; }

absl::Status ValidateLayer(const Layer& layer, int64_t index) {
  if (!IsTime(layer.seconds)) return Refuse("layer", index, "its time is not a number of seconds >= 0");
  if (!IsTime(layer.flops) || !IsTime(layer.bytes)) return Refuse("layer", index, "flops and bytes must be >= 0");
  if (layer.floor < Bytes(0) || layer.floor.count() > kMaxBytes) {
    return Refuse("layer", index, absl::StrCat("a floor of ", layer.floor.count(), " bytes makes no sense"));
  }
  if (layer.first_event < -1) return Refuse("layer", index, "first_event must be -1 or a position");
  return absl::OkStatus();
}

absl::Status ValidateAccesses(const Tensor& tensor, int32_t layers) {
  const int64_t id = tensor.id.value();
  LayerId previous = kNoLayer;
  for (const Access& access : tensor.accesses) {
    const int32_t layer = access.layer.value();
    if (layer < 0 || layer >= layers) {
      return Refuse("tensor", id, absl::StrCat("touched in layer ", layer, ", but layers go from 0 to ", layers - 1));
    }
    if (access.layer <= previous) {
      return Refuse("tensor", id, absl::StrCat("accesses must be sorted by layer, one per layer; see layer ", layer));
    }
    previous = access.layer;
    if (!access.read && !access.write) {
      return Refuse("tensor", id, absl::StrCat("the access in layer ", layer, " neither reads nor writes"));
    }
    if (access.overwrite && !access.write) {
      return Refuse("tensor", id, absl::StrCat("layer ", layer, " overwrites it without writing it"));
    }
    if (access.pages < 0) return Refuse("tensor", id, absl::StrCat("page accesses in layer ", layer, " are negative"));
    if (!AliveIn(tensor, access.layer)) {
      return Refuse("tensor", id,
                    absl::StrCat("touched in layer ", layer, ", in which it is not alive (born ", tensor.birth.value(),
                                 ", freed ", tensor.death.value(), ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateTensor(const Tensor& tensor, int32_t layers) {
  const int64_t id = tensor.id.value();
  if (tensor.bytes < Bytes(0) || tensor.bytes.count() > kMaxBytes) {
    return Refuse("tensor", id, absl::StrCat(tensor.bytes.count(), " bytes is not a size"));
  }
  for (const LayerId layer : {tensor.birth, tensor.death}) {
    if (layer < kNoLayer || layer.value() >= layers) {
      return Refuse("tensor", id,
                    absl::StrCat("born or freed in layer ", layer.value(), ", but layers go from 0 to ", layers - 1,
                                 " (-1: before or after the step)"));
    }
  }
  if (tensor.ordinal < -1) return Refuse("tensor", id, "its ordinal must be -1 or a position");
  if (tensor.birth_event < -1 || tensor.death_event < -1 || tensor.birth_event >= kMaxBytes ||
      tensor.death_event >= kMaxBytes) {
    return Refuse("tensor", id, "events must be -1 or positions");
  }
  const bool in_step = tensor.birth != kNoLayer && tensor.birth == tensor.death;
  if (in_step && tensor.birth_event >= 0 && tensor.death_event >= 0 && tensor.death_event < tensor.birth_event) {
    return Refuse("tensor", id, "freed before it is born, in the same layer");
  }
  if (tensor.fixed_offset < -1 || tensor.fixed_offset > kMaxBytes - tensor.bytes.count()) {
    return Refuse("tensor", id, absl::StrCat(tensor.fixed_offset, " is not an offset"));
  }
  return ValidateAccesses(tensor, layers);
}

// The tensors that are matched in later steps, in the order in which a step allocates them.
std::vector<const Tensor*> Matched(const Profile& profile) {
  std::vector<const Tensor*> matched;
  for (const Tensor& tensor : profile.tensors) {
    if (tensor.ordinal >= 0) matched.push_back(&tensor);
  }
  std::sort(matched.begin(), matched.end(), [](const Tensor* a, const Tensor* b) {
    return std::tie(a->birth, a->ordinal, a->bytes) < std::tie(b->birth, b->ordinal, b->bytes);
  });
  return matched;
}

}  // namespace

absl::Status Validate(const Profile& profile) {
  if (profile.layers.empty()) return absl::InvalidArgumentError("profile: it has no layers; mark some with add_layer");
  if (profile.layers.size() > std::numeric_limits<int32_t>::max() / 4) {
    return absl::InvalidArgumentError(absl::StrCat("profile: ", profile.layers.size(), " layers are too many"));
  }
  if (profile.page_bytes <= Bytes(0)) return absl::InvalidArgumentError("profile: page_bytes must be over 0");
  if (profile.peak_bytes < Bytes(0)) return absl::InvalidArgumentError("profile: peak_bytes must be >= 0");
  for (size_t i = 0; i < profile.layers.size(); ++i) {
    if (absl::Status status = ValidateLayer(profile.layers[i], i); !status.ok()) return status;
  }
  std::unordered_set<TensorId> ids;
  int64_t total = 0;
  for (const Tensor& tensor : profile.tensors) {
    const int32_t layers = static_cast<int32_t>(profile.layers.size());
    if (absl::Status status = ValidateTensor(tensor, layers); !status.ok()) return status;
    if (!ids.insert(tensor.id).second) return Refuse("tensor", tensor.id.value(), "its id is there twice");
    if (tensor.bytes.count() > kMaxBytes - total) {
      return Refuse("tensor", tensor.id.value(), "with it all sizes together exceed 2^62 bytes");
    }
    total += tensor.bytes.count();
  }
  return absl::OkStatus();
}

bool AliveIn(const Tensor& tensor, LayerId layer) {
  if (tensor.persistent()) return true;
  if (tensor.birth == kNoLayer) return layer <= tensor.death;
  if (tensor.death < tensor.birth) return layer >= tensor.birth || layer <= tensor.death;
  return tensor.birth <= layer && layer <= tensor.death;
}

Bytes PeakBytes(const Profile& profile) {
  std::vector<std::pair<int64_t, int64_t>> changes;  // tick, change of the live bytes; frees sort before births
  const std::vector<Lifetime> lifetimes = Lifetimes(profile);
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    const int64_t bytes = profile.tensors[i].bytes.count();
    changes.emplace_back(lifetimes[i].begin, bytes);
    changes.emplace_back(lifetimes[i].end, -bytes);
    if (lifetimes[i].begin2 >= 0) {
      changes.emplace_back(lifetimes[i].begin2, bytes);
      changes.emplace_back(lifetimes[i].end2, -bytes);
    }
  }
  std::sort(changes.begin(), changes.end());
  int64_t live = 0;
  int64_t peak = 0;
  for (const auto& [tick, change] : changes) peak = std::max(peak, live += change);
  return Bytes(peak);
}

Floor FloorBytes(const Profile& profile) {
  std::vector<Bytes> touched(profile.layers.size());
  for (const Tensor& tensor : profile.tensors) {
    for (const Access& access : tensor.accesses) touched[access.layer.value()] += tensor.bytes;
  }
  Floor floor;
  for (size_t i = 0; i < profile.layers.size(); ++i) {
    const Bytes given = profile.layers[i].floor;
    const Bytes bytes = given > Bytes(0) ? given : touched[i];
    if (floor.layer == kNoLayer || bytes > floor.bytes) floor = {bytes, LayerId(static_cast<int32_t>(i))};
  }
  return floor;
}

uint64_t SequenceHash(const Profile& profile) {
  StableHash hash;
  hash.Add(static_cast<int64_t>(profile.layers.size()));
  for (const Tensor* tensor : Matched(profile)) {
    hash.Add(int64_t{tensor->birth.value()});
    hash.Add(int64_t{tensor->ordinal});
    hash.Add(RoundUp(tensor->bytes, KiB(4)).count());
  }
  return hash.value();
}

uint64_t ContentHash(const Profile& profile) {
  StableHash hash;
  hash.Add(profile.model);
  hash.Add(profile.batch);
  hash.Add(profile.page_bytes.count());
  hash.Add(profile.peak_bytes.count());
  hash.Add(static_cast<int64_t>(profile.layers.size()));
  for (const Layer& layer : profile.layers) {
    hash.Add(layer.name);
    hash.Add(layer.seconds);
    hash.Add(layer.floor.count());
    hash.Add(layer.flops);
    hash.Add(layer.bytes);
    hash.Add(layer.first_event);
  }
  hash.Add(static_cast<int64_t>(profile.tensors.size()));
  for (const Tensor& tensor : profile.tensors) {
    for (const int64_t value :
         {tensor.id.value(), tensor.bytes.count(), int64_t{tensor.birth.value()}, int64_t{tensor.death.value()},
          int64_t{tensor.ordinal}, tensor.birth_event, tensor.death_event, tensor.fixed_offset,
          static_cast<int64_t>(tensor.accesses.size())}) {
      hash.Add(value);
    }
    for (const Access& access : tensor.accesses) {
      hash.Add(int64_t{access.layer.value()});
      hash.Add(int64_t{access.read + 2 * access.write + 4 * access.overwrite});
      hash.Add(access.pages);
    }
  }
  return hash.value();
}

}  // namespace thermocline::profile

#include "src/plan/plan_parts.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "absl/strings/str_cat.h"

namespace thermocline::plan {
namespace {

// A granule id has 32 bits.
constexpr int64_t kMaxGranules = int64_t{1} << 32;

absl::Status CheckTier(const TierSpec& tier) {
  for (const BytesPerSecond rate : {tier.in, tier.out}) {
    if (!(rate.rate() > 0) || !std::isfinite(rate.rate())) {
      return absl::InvalidArgumentError(
          absl::StrCat("plan: slow tier '", tier.name, "' has no bandwidth; measure or state it in both directions"));
    }
  }
  if (!(tier.latency_seconds >= 0) || !std::isfinite(tier.latency_seconds)) {
    return absl::InvalidArgumentError(absl::StrCat("plan: slow tier '", tier.name, "' has a senseless latency"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckInput(const PlannerInput& input) {
  if (input.profile == nullptr) return absl::InvalidArgumentError("plan: there is no profile");
  if (absl::Status status = profile::Validate(*input.profile); !status.ok()) return status;
  if (input.machine.slow.empty()) return absl::InvalidArgumentError("plan: the machine has no slow tier");
  for (const TierSpec& tier : input.machine.slow) {
    if (absl::Status status = CheckTier(tier); !status.ok()) return status;
  }
  const int64_t granule = input.granule_bytes.count();
  if (granule < 4096 || (granule & (granule - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan: a granule of ", granule, " bytes: it must be a power of two of at least 4096"));
  }
  if (input.budget < Bytes(0)) return absl::InvalidArgumentError("plan: the budget is negative");
  if (input.layout_base < 0 || input.layout_base % granule != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan: layout base ", input.layout_base, " is not a multiple of the granule, ", granule));
  }
  int64_t total = 0;
  int64_t end = input.layout_base;
  for (const profile::Tensor& tensor : input.profile->tensors) {
    total += RoundUp(tensor.bytes, KiB(4)).count();
    end = std::max(end, tensor.fixed_offset + tensor.bytes.count());
  }
  if ((total + end) / granule + 2 >= kMaxGranules) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan: ", total, " bytes of tensors are too many granules of ", granule, " bytes"));
  }
  return absl::OkStatus();
}

int64_t FramesOf(const PlannerInput& input) { return input.budget / input.granule_bytes; }

absl::StatusOr<Layout> LayoutFor(const PlannerInput& input, ShortLived short_lived) {
  const profile::Profile& profile = *input.profile;
  if (input.layout_of == nullptr) return MakeLayout(profile, input.granule_bytes, input.layout_base, short_lived);
  const MigrationPlan& plan = *input.layout_of;
  Layout layout;
  layout.offsets = OffsetsOf(plan, profile);
  layout.end = plan.layout_end;
  layout.short_lived_bytes = plan.short_lived_bytes;
  layout.short_lived_begin = plan.layout_end;
  std::unordered_map<TensorId, Region> regions;
  for (const Placement& placement : plan.placements) {
    regions[placement.tensor] = placement.region;
    if (placement.region != Region::kShortLived) continue;
    const Bytes begin = RoundDown(Bytes(placement.offset), input.granule_bytes);
    layout.short_lived_begin = std::min(layout.short_lived_begin, begin.count());
  }
  layout.regions.reserve(profile.tensors.size());
  for (size_t i = 0; i < profile.tensors.size(); ++i) {
    if (layout.offsets[i] < 0) {
      return absl::InvalidArgumentError(absl::StrCat("plan: the layout to keep has no place for tensor ",
                                                     profile.tensors[i].id.value(), ": it is another step's"));
    }
    layout.regions.push_back(regions[profile.tensors[i].id]);
  }
  return layout;
}

MigrationPlan StartPlan(absl::string_view planner, const PlannerInput& input, const Layout& layout) {
  MigrationPlan plan;
  plan.planner = std::string(planner);
  plan.profile_hash = profile::ContentHash(*input.profile);
  plan.sequence_hash = profile::SequenceHash(*input.profile);
  plan.budget = input.budget;
  plan.granule_bytes = input.granule_bytes;
  plan.layout_base = input.layout_base;
  plan.layout_end = layout.end;
  plan.short_lived_bytes = layout.short_lived_bytes;
  plan.layers.resize(input.profile->layers.size());
  plan.placements.reserve(input.profile->tensors.size());
  for (size_t i = 0; i < input.profile->tensors.size(); ++i) {
    const profile::Tensor& tensor = input.profile->tensors[i];
    Placement placement;
    placement.tensor = tensor.id;
    placement.birth = tensor.birth;
    placement.ordinal = tensor.ordinal;
    placement.bytes = tensor.bytes;
    placement.region = layout.regions[i];
    placement.offset = layout.offsets[i];
    plan.placements.push_back(placement);
  }
  return plan;
}

std::vector<int64_t> OffsetsOf(const MigrationPlan& plan, const profile::Profile& profile) {
  std::unordered_map<TensorId, int64_t> offsets;
  for (const Placement& placement : plan.placements) offsets[placement.tensor] = placement.offset;
  std::vector<int64_t> result;
  result.reserve(profile.tensors.size());
  for (const profile::Tensor& tensor : profile.tensors) {
    const auto it = offsets.find(tensor.id);
    result.push_back(it == offsets.end() ? -1 : it->second);
  }
  return result;
}

std::vector<double> LayerSeconds(const profile::Profile& profile) {
  std::vector<double> seconds;
  seconds.reserve(profile.layers.size());
  for (const profile::Layer& layer : profile.layers) seconds.push_back(layer.seconds);
  return seconds;
}

absl::StatusOr<ReplayResult> PredictWith(const profile::Profile& profile, const Machine& machine, MigrationPlan* plan) {
  absl::StatusOr<ReplayResult> replay = Replay(profile, machine, *plan);
  if (!replay.ok()) return replay;
  plan->predicted_seconds = replay->seconds;
  plan->predicted_exposed_seconds = replay->exposed_seconds;
  plan->predicted_exposed_per_layer = replay->exposed_per_layer;
  plan->predicted_in = replay->in;
  plan->predicted_out = replay->out;
  return replay;
}

absl::Status Predict(const PlannerInput& input, MigrationPlan* plan) {
  return PredictWith(*input.profile, input.machine, plan).status();
}

}  // namespace thermocline::plan

#include "src/cli/machine_flags.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/parse_units.h"
#include "src/cli/command.h"
#include "src/plan/granule_for.h"

namespace thermocline::cli {
namespace {

constexpr absl::string_view kSlowExample = "ssd:in=1.3GB/s,out=1.3GB/s,latency=80us,duplex=half";
constexpr absl::string_view kComputeExample = "scale=20 or flops=60e12,memory=3TB/s";

absl::Status Wrong(absl::string_view flag, absl::string_view text, absl::string_view why, absl::string_view example) {
  return UsageError(absl::StrCat(flag, " ", text, ": ", why, "; write it like ", example));
}

absl::Status SetFlag(absl::string_view value, absl::string_view yes, absl::string_view no, bool* out) {
  if (value != yes && value != no) {
    return absl::InvalidArgumentError(absl::StrCat("'", value, "' is neither ", yes, " nor ", no));
  }
  *out = value == yes;
  return absl::OkStatus();
}

template <typename T>
absl::Status Set(const absl::StatusOr<T>& value, T* out) {
  if (value.ok()) *out = *value;
  return value.status();
}

absl::Status SetTierField(absl::string_view key, absl::string_view value, plan::TierSpec* tier) {
  if (key == "in") return Set(ParseBytesPerSecond(value), &tier->in);
  if (key == "out") return Set(ParseBytesPerSecond(value), &tier->out);
  if (key == "latency") return Set(ParseSeconds(value), &tier->latency_seconds);
  if (key == "capacity") return Set(ParseBytes(value), &tier->capacity);
  if (key == "duplex") return SetFlag(value, "full", "half", &tier->full_duplex);
  if (key == "addressable") return SetFlag(value, "yes", "no", &tier->byte_addressable);
  return absl::InvalidArgumentError(
      absl::StrCat("'", key, "' is not one of in, out, latency, duplex, addressable, capacity"));
}

// Calls `set` with each "key=value" of a list.
template <typename SetField>
absl::Status ForEachField(absl::string_view list, SetField set) {
  std::set<absl::string_view> seen;
  for (absl::string_view field : absl::StrSplit(list, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(field, absl::MaxSplits('=', 1));
    if (!absl::StrContains(field, '=')) return absl::InvalidArgumentError(absl::StrCat("'", field, "' has no '='"));
    if (!seen.insert(parts.first).second) {
      return absl::InvalidArgumentError(absl::StrCat("'", parts.first, "' is given twice"));
    }
    if (absl::Status status = set(parts.first, parts.second); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ParsePositive(absl::string_view text, double* out) {
  if (absl::SimpleAtod(text, out) && std::isfinite(*out) && *out > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a number above zero"));
}

}  // namespace

absl::StatusOr<plan::TierSpec> ParseTierSpec(absl::string_view text) {
  plan::TierSpec tier;
  const size_t colon = text.find(':');
  if (colon == 0 || colon == absl::string_view::npos) {
    return Wrong("--slow", text, "it must start with a name and a colon", kSlowExample);
  }
  tier.name = std::string(text.substr(0, colon));
  const absl::Status status = ForEachField(text.substr(colon + 1), [&](absl::string_view key, absl::string_view value) {
    return SetTierField(key, value, &tier);
  });
  if (!status.ok()) return Wrong("--slow", text, status.message(), kSlowExample);
  if (!(tier.in.rate() > 0)) return Wrong("--slow", text, "it has no speed, \"in\"", kSlowExample);
  if (!(tier.out.rate() > 0)) tier.out = tier.in;
  return tier;
}

absl::StatusOr<ComputeScale> ParseComputeScale(absl::string_view text) {
  ComputeScale scale;
  const absl::Status status = ForEachField(text, [&](absl::string_view key, absl::string_view value) -> absl::Status {
    if (key == "scale") return ParsePositive(value, &scale.scale);
    if (key == "flops") return ParsePositive(value, &scale.flops);
    if (key == "memory") return Set(ParseBytesPerSecond(value), &scale.memory);
    return absl::InvalidArgumentError(absl::StrCat("'", key, "' is not one of scale, flops, memory"));
  });
  if (!status.ok()) return Wrong("--compute", text, status.message(), kComputeExample);
  if ((scale.flops > 0) != (scale.memory.rate() > 0)) {
    return Wrong("--compute", text, "flops and memory are only of use together", kComputeExample);
  }
  return scale;
}

int ApplyComputeScale(const ComputeScale& scale, profile::Profile* profile) {
  int left_alone = 0;
  for (profile::Layer& layer : profile->layers) {
    if (scale.flops > 0) {
      if (layer.flops > 0 && layer.bytes > 0) {
        layer.seconds = std::max(layer.flops / scale.flops, layer.bytes / scale.memory.rate());
      } else {
        ++left_alone;
      }
    }
    layer.seconds /= scale.scale;
  }
  return left_alone;
}

void MachineFlags::AddSlowTo(CLI::App* subcommand) {
  subcommand
      ->add_option("--slow", slow,
                   "A slower tier, fastest first, repeatable (planners use the first so far): "
                   "NAME:in=RATE[,out=RATE][,latency=TIME]"
                   "[,duplex=half|full][,addressable=yes|no][,capacity=SIZE]; without any: an SSD, "
                   "ssd:in=1.3GB/s,out=1.3GB/s,latency=80us,duplex=half")
      ->allow_extra_args(false);
}

void MachineFlags::AddTo(CLI::App* subcommand) {
  AddSlowTo(subcommand);
  subcommand
      ->add_option("--compute", compute,
                   "How fast the machine computes, against the trace's: scale=20 divides the layers' times; "
                   "flops=60e12,memory=3TB/s rescales by roofline the layers that have flops and bytes")
      ->allow_extra_args(false);
  subcommand->add_option("--granule", granule,
                         "The unit that moves, a power of two; 2MiB where it is not given, less for small budgets");
}

absl::StatusOr<plan::Machine> MachineFlags::Machine() const {
  plan::Machine machine;
  for (const std::string& text : slow) {
    absl::StatusOr<plan::TierSpec> tier = ParseTierSpec(text);
    if (!tier.ok()) return tier.status();
    machine.slow.push_back(*std::move(tier));
  }
  if (machine.slow.empty()) machine.slow.push_back(ParseTierSpec(kSlowExample).value());
  return machine;
}

absl::StatusOr<Bytes> MachineFlags::GranuleFor(Bytes budget) const {
  if (granule.empty()) return plan::GranuleFor(budget);
  const absl::StatusOr<Bytes> bytes = ParseBytes(granule);
  if (bytes.ok() && *bytes >= KiB(4) && *bytes <= GiB(1) && (bytes->count() & (bytes->count() - 1)) == 0) return *bytes;
  return UsageError(absl::StrCat("--granule ", granule, ": it must be a power of two from 4KiB to 1GiB, like 2MiB"));
}

absl::Status MachineFlags::Rescale(profile::Profile* profile) const {
  if (compute.empty()) return absl::OkStatus();
  const std::string text = absl::StrJoin(compute, ",");  // as one, so that what is given twice is refused
  const absl::StatusOr<ComputeScale> scale = ParseComputeScale(text);
  if (!scale.ok()) return scale.status();
  const int left_alone = ApplyComputeScale(*scale, profile);
  if (left_alone == 0) return absl::OkStatus();
  Warn(absl::StrCat("--compute ", text, ": ", left_alone, " of ", profile->layers.size(),
                    " layers keep their time, because the trace has no flops and bytes for them"));
  return absl::OkStatus();
}

}  // namespace thermocline::cli

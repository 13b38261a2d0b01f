#include "src/tier/tier_spec.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/parse_units.h"
#include "src/tier/emulated_tier.h"
#include "src/tier/numa_tier.h"
#include "src/tier/slow_node.h"

namespace thermocline::tier {
namespace {

constexpr absl::string_view kForms =
    "file:DIR[,capacity=64GiB][,daily_writes=500GiB][,engine=auto|io_uring|threads][,depth=32], "
    "numa:NODE[,capacity=64GiB], or "
    "emulated:in=1GB/s,out=1GB/s[,latency=80us][,duplex=half|full][,addressable=yes|no][,capacity=64GiB]";

absl::Status Bad(absl::string_view spec, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("slow tier '", spec, "': ", what));
}

template <typename T, typename U>
absl::Status Take(absl::StatusOr<T> parsed, U* into) {
  if (!parsed.ok()) return parsed.status();
  *into = *parsed;
  return absl::OkStatus();
}

// One of two words, as a bool.
absl::Status TakeChoice(absl::string_view key, absl::string_view value, absl::string_view no, absl::string_view yes,
                        bool* into) {
  if (value != no && value != yes) {
    return absl::InvalidArgumentError(absl::StrCat("'", value, "' is not a ", key, "; write ", no, " or ", yes));
  }
  *into = value == yes;
  return absl::OkStatus();
}

absl::Status TakeEngine(absl::string_view value, FileBackend* into) {
  if (value == "auto") {
    *into = FileBackend::kAuto;
  } else if (value == "io_uring") {
    *into = FileBackend::kUring;
  } else if (value == "threads") {
    *into = FileBackend::kThreads;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("'", value, "' is not an engine; write auto, io_uring or threads"));
  }
  return absl::OkStatus();
}

absl::Status TakeDepth(absl::string_view value, int* into) {
  if (absl::SimpleAtoi(value, into) && *into >= 1 && *into <= 1024) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", value, "' is not a queue depth; write a number from 1 to 1024"));
}

absl::Status TakeSetting(absl::string_view key, absl::string_view value, TierRequest* request) {
  using Kind = TierRequest::Kind;
  if (key == "capacity") return Take(ParseBytes(value), &request->capacity);
  if (request->kind == Kind::kFile) {
    if (key == "daily_writes") return Take(ParseBytes(value), &request->daily_write_cap);
    if (key == "engine") return TakeEngine(value, &request->backend);
    if (key == "depth") return TakeDepth(value, &request->queue_depth);
    return absl::InvalidArgumentError("a file has no such setting; it has capacity, daily_writes, engine and depth");
  }
  if (request->kind == Kind::kNuma) {
    return absl::InvalidArgumentError("a memory node has no such setting; it has capacity");
  }
  if (key == "in") return Take(ParseBytesPerSecond(value), &request->in);
  if (key == "out") return Take(ParseBytesPerSecond(value), &request->out);
  if (key == "latency") return Take(ParseSeconds(value), &request->latency_seconds);
  if (key == "duplex") return TakeChoice(key, value, "half", "full", &request->full_duplex);
  if (key == "addressable") return TakeChoice(key, value, "no", "yes", &request->addressable);
  return absl::InvalidArgumentError(
      "an emulated tier has no such setting; it has in, out, latency, duplex, addressable and capacity");
}

absl::Status TakeSettings(absl::string_view spec, absl::Span<const absl::string_view> parts, TierRequest* request) {
  std::vector<absl::string_view> seen;
  for (absl::string_view part : parts) {
    const std::pair<absl::string_view, absl::string_view> setting = absl::StrSplit(part, absl::MaxSplits('=', 1));
    const absl::string_view key = absl::StripAsciiWhitespace(setting.first);
    const absl::string_view value = absl::StripAsciiWhitespace(setting.second);
    if (key.empty() || value.empty()) return Bad(spec, absl::StrCat("'", part, "' is not written as name=value"));
    for (absl::string_view earlier : seen) {
      if (earlier == key) return Bad(spec, absl::StrCat("'", key, "' is given twice"));
    }
    seen.push_back(key);
    if (absl::Status status = TakeSetting(key, value, request); !status.ok()) {
      return Bad(spec, absl::StrCat("in '", part, "': ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckEmulated(absl::string_view spec, const TierRequest& request) {
  if (!(request.in.rate() > 0)) return Bad(spec, "the bandwidth in is missing; add in=1GB/s");
  if (!(request.out.rate() > 0)) return Bad(spec, "the bandwidth out is missing; add out=1GB/s");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TierRequest> ParseTierSpec(absl::string_view text) {
  const absl::string_view spec = absl::StripAsciiWhitespace(text);
  absl::string_view rest = spec;
  TierRequest request;
  if (absl::ConsumePrefix(&rest, "file:")) {
    std::vector<absl::string_view> parts = absl::StrSplit(rest, ',');
    request.directory = std::string(parts[0]);
    if (request.directory.empty()) return Bad(spec, "the directory is missing; write file:/var/tmp");
    if (absl::Status status = TakeSettings(spec, absl::MakeSpan(parts).subspan(1), &request); !status.ok()) {
      return status;
    }
    return request;
  }
  if (absl::ConsumePrefix(&rest, "numa:")) {
    request.kind = TierRequest::Kind::kNuma;
    const std::vector<absl::string_view> parts = absl::StrSplit(rest, ',');
    if (!absl::SimpleAtoi(parts[0], &request.node) || request.node < 0) {
      return Bad(spec, absl::StrCat("'", parts[0], "' is not a memory node; write numa:1"));
    }
    if (absl::Status status = TakeSettings(spec, absl::MakeSpan(parts).subspan(1), &request); !status.ok()) {
      return status;
    }
    return request;
  }
  if (absl::ConsumePrefix(&rest, "emulated:")) {
    request.kind = TierRequest::Kind::kEmulated;
    std::vector<absl::string_view> parts = absl::StrSplit(rest, ',', absl::SkipEmpty());
    if (absl::Status status = TakeSettings(spec, parts, &request); !status.ok()) return status;
    if (absl::Status status = CheckEmulated(spec, request); !status.ok()) return status;
    return request;
  }
  if (!spec.empty() && (spec[0] == '/' || spec[0] == '.')) {
    return Bad(spec, absl::StrCat("a directory is written file:", spec));
  }
  return Bad(spec, absl::StrCat("no such kind of tier; write ", kForms));
}

absl::StatusOr<std::unique_ptr<BlockTier>> MakeBlockTier(const TierRequest& request, Bytes granule_bytes,
                                                         const TierMaking& making) {
  if (request.kind == TierRequest::Kind::kNuma) {
    if (absl::Status status = CheckSlowNode(request.node, *making.numa); !status.ok()) return status;
    NumaTierOptions options;
    options.node = request.node;
    options.granule_bytes = granule_bytes;
    options.capacity = request.capacity;
    absl::StatusOr<std::unique_ptr<NumaTier>> tier = NumaTier::Create(options, *making.numa);
    if (!tier.ok()) return tier.status();
    if (making.probes != nullptr) *making.probes = (*tier)->probes();
    return *std::move(tier);
  }
  if (request.kind == TierRequest::Kind::kEmulated) {
    EmulatedTierOptions options;
    options.granule_bytes = granule_bytes;
    options.capacity = request.capacity;
    options.in = request.in;
    options.out = request.out;
    options.latency_seconds = request.latency_seconds;
    options.full_duplex = request.full_duplex;
    options.addressable = request.addressable;
    absl::StatusOr<std::unique_ptr<EmulatedTier>> tier = EmulatedTier::Create(options);
    if (!tier.ok()) return tier.status();
    return *std::move(tier);
  }
  FileTierOptions options;
  options.directory = request.directory;
  options.granule_bytes = granule_bytes;
  options.capacity = request.capacity;
  options.daily_write_cap = request.daily_write_cap;
  options.backend = request.backend;
  options.queue_depth = request.queue_depth;
  absl::StatusOr<std::unique_ptr<FileTier>> tier = FileTier::Create(options);
  if (!tier.ok()) return tier.status();
  if (making.probes != nullptr) *making.probes = (*tier)->probes();
  return *std::move(tier);
}

absl::Status CheckRoom(BlockTier& tier) {
  const SlotId slot = tier.AllocateSlot();
  if (slot == kNoSlot) {
    return absl::ResourceExhaustedError(absl::StrCat(tier.Describe(), " is full: it has no room for one granule of ",
                                                     FormatBytes(tier.granule_bytes()),
                                                     "; free some there, or name another place"));
  }
  tier.FreeSlot(slot);
  return absl::OkStatus();
}

}  // namespace thermocline::tier

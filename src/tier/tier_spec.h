// Reads how people name a slow tier on a command line or in an environment variable, and makes the tier.
//
//   file:DIR[,capacity=64GiB][,daily_writes=500GiB][,engine=auto|io_uring|threads][,depth=32]
//   numa:NODE[,capacity=64GiB]
//   emulated:in=1GB/s,out=1GB/s[,latency=80us][,duplex=half|full][,addressable=yes|no][,capacity=64GiB]
//
// Thread safety: ParseTierSpec is a pure function, MakeBlockTier may be called from any thread. Errors name the part
// that is wrong and what would be right.
#ifndef THERMOCLINE_TIER_TIER_SPEC_H_
#define THERMOCLINE_TIER_TIER_SPEC_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/probe_record.h"
#include "src/base/units.h"
#include "src/tier/block_tier.h"
#include "src/tier/file_tier.h"
#include "src/tier/numa_system.h"

namespace thermocline::tier {

struct TierRequest {
  enum class Kind : uint8_t { kFile, kNuma, kEmulated };
  Kind kind = Kind::kFile;
  Bytes capacity;  // 0: as much as there is

  // kFile
  std::string directory;
  Bytes daily_write_cap;
  FileBackend backend = FileBackend::kAuto;
  int queue_depth = 32;

  // kNuma
  int node = -1;

  // kEmulated
  BytesPerSecond in, out;
  double latency_seconds = 0;
  bool full_duplex = false;
  bool addressable = false;
};

absl::StatusOr<TierRequest> ParseTierSpec(absl::string_view text);

// What making a tier may be given besides.
struct TierMaking {
  std::vector<ProbeRecord>* probes = nullptr;  // takes what was tried and answered, if the tier was made
  NumaSystem* numa = &RealNumaSystem();        // for numa:NODE
};

// Refuses a memory node that fast memory is taken from (slow_node.h). Verification (a checksum a granule) is added by
// the caller, with VerifyingTier.
absl::StatusOr<std::unique_ptr<BlockTier>> MakeBlockTier(const TierRequest& request, Bytes granule_bytes,
                                                         const TierMaking& making = {});

// ResourceExhausted when the tier has no room for a single granule, as a full disk. For those who look before they
// start; REQUIRES: nothing else uses the tier.
absl::Status CheckRoom(BlockTier& tier);

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_TIER_SPEC_H_

#include "src/tier/emulated_tier.h"
#include "src/tier/file_tier.h"
#include "src/tier/verifying_tier.h"
#include "tests/conformance/block_tier_conformance.h"
#include "tests/tier/failing_tier.h"
#include "tests/tier/faulty_file_system.h"

namespace thermocline::tier {
namespace {

absl::StatusOr<std::unique_ptr<BlockTier>> VerifiedFile(Bytes granule, Bytes capacity) {
  FileTierOptions options;
  options.directory = SlowTestDirectory();
  options.granule_bytes = granule;
  options.capacity = capacity;
  options.share_device = false;  // its depth must not depend on what else runs on this machine
  absl::StatusOr<std::unique_ptr<FileTier>> tier = FileTier::Create(options);
  if (!tier.ok()) return tier.status();
  return std::make_unique<VerifyingTier>(*std::move(tier));
}

// The tests' own decorator, when it fails nothing.
absl::StatusOr<std::unique_ptr<BlockTier>> FailingNever(Bytes granule, Bytes capacity) {
  EmulatedTierOptions options;
  options.granule_bytes = granule;
  options.capacity = capacity;
  options.in = options.out = BytesPerSecond(8e9);
  absl::StatusOr<std::unique_ptr<EmulatedTier>> tier = EmulatedTier::Create(options);
  if (!tier.ok()) return tier.status();
  return std::make_unique<FailingTier>(*std::move(tier));
}

INSTANTIATE_TEST_SUITE_P(Decorators, BlockTierConformance,
                         ::testing::Values(BlockTierKind{"VerifiedFile", VerifiedFile},
                                           BlockTierKind{"FailingNever", FailingNever}),
                         BlockTierKindName);

}  // namespace
}  // namespace thermocline::tier

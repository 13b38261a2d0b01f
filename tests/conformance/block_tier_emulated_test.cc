#include "src/tier/emulated_tier.h"
#include "tests/conformance/block_tier_conformance.h"

namespace thermocline::tier {
namespace {

BlockTierKind EmulatedKind(const std::string& name, BytesPerSecond in, BytesPerSecond out, double latency, bool full,
                           bool addressable = false) {
  return {name, [=](Bytes granule, Bytes capacity) -> absl::StatusOr<std::unique_ptr<BlockTier>> {
            EmulatedTierOptions options;
            options.granule_bytes = granule;
            options.capacity = capacity;
            options.in = in;
            options.out = out;
            options.latency_seconds = latency;
            options.full_duplex = full;
            options.addressable = addressable;
            absl::StatusOr<std::unique_ptr<EmulatedTier>> tier = EmulatedTier::Create(options);
            if (!tier.ok()) return tier.status();
            return *std::move(tier);
          }};
}

INSTANTIATE_TEST_SUITE_P(
    Emulated, BlockTierConformance,
    ::testing::Values(EmulatedKind("HalfDuplex", BytesPerSecond(4e9), BytesPerSecond(4e9), 20e-6, false),
                      EmulatedKind("FullDuplexSlowOut", BytesPerSecond(8e9), BytesPerSecond(2e9), 0, true),
                      EmulatedKind("ByteAddressable", BytesPerSecond(8e9), BytesPerSecond(8e9), 0, true, true)),
    BlockTierKindName);

}  // namespace
}  // namespace thermocline::tier

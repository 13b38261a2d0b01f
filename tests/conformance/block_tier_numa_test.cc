// The memory tier on node 0, which every machine has; on the two-node machine on node 1 (THERMOCLINE_TEST_NODE).
#include <cstdlib>

#include "src/tier/numa_tier.h"
#include "tests/conformance/block_tier_conformance.h"

namespace thermocline::tier {
namespace {

int TestNode() {
  const char* given = std::getenv("THERMOCLINE_TEST_NODE");
  return given != nullptr ? std::atoi(given) : 0;
}

BlockTierKind NumaKind(const std::string& name, int threads) {
  return {name, [threads](Bytes granule, Bytes capacity) -> absl::StatusOr<std::unique_ptr<BlockTier>> {
            NumaTierOptions options;
            options.node = TestNode();
            options.granule_bytes = granule;
            options.capacity = capacity;
            options.threads = threads;
            absl::StatusOr<std::unique_ptr<NumaTier>> tier = NumaTier::Create(options);
            if (!tier.ok()) return tier.status();
            return *std::move(tier);
          }};
}

INSTANTIATE_TEST_SUITE_P(Numa, BlockTierConformance,
                         ::testing::Values(NumaKind("OneThread", 1), NumaKind("FourThreads", 4)), BlockTierKindName);

}  // namespace
}  // namespace thermocline::tier

// The file tier on io_uring, on threads, and through the page cache.
#include "src/tier/file_tier.h"
#include "tests/conformance/block_tier_conformance.h"
#include "tests/tier/faulty_file_system.h"

namespace thermocline::tier {
namespace {

BlockTierKind FileKind(const std::string& name, FileBackend backend, FileSystem& files) {
  return {name, [backend, &files](Bytes granule, Bytes capacity) -> absl::StatusOr<std::unique_ptr<BlockTier>> {
            FileTierOptions options;
            options.directory = SlowTestDirectory();
            options.granule_bytes = granule;
            options.capacity = capacity;
            options.backend = backend;
            options.share_device = false;  // its depth must not depend on what else runs on this machine
            absl::StatusOr<std::unique_ptr<FileTier>> tier = FileTier::Create(options, files);
            if (!tier.ok()) return tier.status();
            return *std::move(tier);
          }};
}

FileSystem& WithoutDirect() {
  static NoDirectFileSystem* const files = new NoDirectFileSystem;
  return *files;
}
FileSystem& WithShortTransfers() {
  static ShortTransfersFileSystem* const files = new ShortTransfersFileSystem;
  return *files;
}
FileSystem& WithRefusedRing() {
  static LateRefusalFileSystem* const files = new LateRefusalFileSystem;
  return *files;
}

INSTANTIATE_TEST_SUITE_P(
    File, BlockTierConformance,
    ::testing::Values(FileKind("Uring", FileBackend::kUring, RealFileSystem()),
                      FileKind("Threads", FileBackend::kThreads, RealFileSystem()),
                      FileKind("ThroughThePageCache", FileBackend::kAuto, WithoutDirect()),
                      FileKind("UringWithShortTransfers", FileBackend::kUring, WithShortTransfers()),
                      FileKind("ThreadsWithShortTransfers", FileBackend::kThreads, WithShortTransfers()),
                      FileKind("UringForbiddenHalfway", FileBackend::kUring, WithRefusedRing())),
    BlockTierKindName);

}  // namespace
}  // namespace thermocline::tier

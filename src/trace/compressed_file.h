// Reads and writes whole files that may be compressed: plain, gzip or zstd.
//
// Thread safety: pure functions but for the file itself. Ownership: by value.
// Errors: NotFound, PermissionDenied or Unavailable with the call and its errno for the file; InvalidArgument for bytes
// that are damaged, cut short, or would unpack to more than the limits.
#ifndef THERMOCLINE_TRACE_COMPRESSED_FILE_H_
#define THERMOCLINE_TRACE_COMPRESSED_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/units.h"

namespace thermocline::trace {

// What keeps a small hostile file from filling memory.
struct UnpackLimits {
  Bytes most = GiB(4);       // unpacked
  int64_t most_ratio = 300;  // unpacked to packed, looked at from `ratio_from` on
  Bytes ratio_from = MiB(64);
};

enum class Compression : uint8_t { kNone, kGzip, kZstd };

// By the end of the name: ".gz", ".zst", else none.
Compression CompressionForName(absl::string_view path);

// By the first bytes, whatever the file is called. `name` is for messages.
absl::StatusOr<std::string> Unpack(std::string packed, absl::string_view name, const UnpackLimits& limits);
absl::StatusOr<std::string> Pack(absl::string_view text, Compression compression);

// Reads the file (a pipe will do) and unpacks it.
absl::StatusOr<std::string> ReadPackedFile(const std::string& path, const UnpackLimits& limits = {});
// Packs as the name says, and replaces the file as a whole or not at all.
absl::Status WritePackedFile(const std::string& path, absl::string_view text);

}  // namespace thermocline::trace

#endif  // THERMOCLINE_TRACE_COMPRESSED_FILE_H_

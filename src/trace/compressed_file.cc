#include "src/trace/compressed_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/base/parse_units.h"

namespace thermocline::trace {
namespace {

constexpr size_t kChunk = size_t{1} << 18;

// Says whether `unpacked` bytes out of `packed` are still plausible.
absl::Status CheckLimits(size_t unpacked, size_t packed, absl::string_view name, const UnpackLimits& limits) {
  if (unpacked > limits.most.count()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": holds more than ", FormatBytes(limits.most), " unpacked; that is the most that is read"));
  }
  if (unpacked > limits.ratio_from.count() && unpacked / limits.most_ratio > packed) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": unpacks to more than ", limits.most_ratio,
                     " times its size, which no real file of ours does; unpack it yourself if you trust it"));
  }
  return absl::OkStatus();
}

absl::Status Damaged(absl::string_view name, absl::string_view format, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": the ", format, " data is damaged: ", why, "; copy or write the file again"));
}

absl::StatusOr<std::string> UnpackGzip(const std::string& packed, absl::string_view name, const UnpackLimits& limits) {
  z_stream stream = {};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return absl::ResourceExhaustedError("zlib has no memory");
  const absl::Cleanup end = [&stream] { inflateEnd(&stream); };
  std::string text;
  std::vector<char> chunk(kChunk);
  size_t given = 0;
  bool in_member = true;
  while (true) {
    if (stream.avail_in == 0) {
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + given));
      stream.avail_in = static_cast<uInt>(std::min(packed.size() - given, size_t{1} << 30));
      given += stream.avail_in;
    }
    if (!in_member) {  // one gzip file may be several, one after the other
      if (stream.avail_in == 0) return text;
      inflateReset(&stream);
      in_member = true;
    }
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = kChunk;
    const int result = inflate(&stream, Z_NO_FLUSH);
    text.append(chunk.data(), kChunk - stream.avail_out);
    if (absl::Status status = CheckLimits(text.size(), packed.size(), name, limits); !status.ok()) return status;
    if (result == Z_STREAM_END) {
      in_member = false;
    } else if (result == Z_BUF_ERROR && given == packed.size() && stream.avail_in == 0) {
      return Damaged(name, "gzip", "it ends early");
    } else if (result != Z_OK) {
      return Damaged(name, "gzip", stream.msg != nullptr ? stream.msg : "unknown reason");
    }
  }
}

absl::StatusOr<std::string> UnpackZstd(const std::string& packed, absl::string_view name, const UnpackLimits& limits) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (context == nullptr) return absl::ResourceExhaustedError("zstd has no memory");
  std::string text;
  std::vector<char> chunk(kChunk);
  ZSTD_inBuffer in = {packed.data(), packed.size(), 0};
  size_t left = 1;  // 0: a frame is complete
  while (true) {
    ZSTD_outBuffer out = {chunk.data(), chunk.size(), 0};
    left = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(left)) return Damaged(name, "zstd", ZSTD_getErrorName(left));
    text.append(chunk.data(), out.pos);
    if (absl::Status status = CheckLimits(text.size(), packed.size(), name, limits); !status.ok()) return status;
    if (in.pos < in.size || out.pos == out.size) continue;
    if (left != 0) return Damaged(name, "zstd", "it ends early");
    return text;
  }
}

absl::StatusOr<std::string> PackGzip(absl::string_view text) {
  z_stream stream = {};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return absl::ResourceExhaustedError("zlib has no memory");
  }
  const absl::Cleanup end = [&stream] { deflateEnd(&stream); };
  std::string packed;
  std::vector<char> chunk(kChunk);
  int result = Z_OK;
  while (result != Z_STREAM_END) {
    if (stream.avail_in == 0 && !text.empty()) {
      const size_t part = std::min(text.size(), size_t{1} << 30);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
      stream.avail_in = static_cast<uInt>(part);
      text.remove_prefix(part);
    }
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = kChunk;
    result = deflate(&stream, text.empty() ? Z_FINISH : Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END) return absl::InternalError("zlib's deflate failed");
    packed.append(chunk.data(), kChunk - stream.avail_out);
  }
  return packed;
}

absl::StatusOr<std::string> PackZstd(absl::string_view text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 6);
  if (ZSTD_isError(size)) return absl::InternalError(absl::StrCat("zstd: ", ZSTD_getErrorName(size)));
  packed.resize(size);
  return packed;
}

absl::Status FileError(absl::string_view call, const std::string& path, absl::string_view advice) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(path, ": ", call, " failed; ", advice));
}

}  // namespace

Compression CompressionForName(absl::string_view path) {
  if (absl::EndsWithIgnoreCase(path, ".gz")) return Compression::kGzip;
  if (absl::EndsWithIgnoreCase(path, ".zst")) return Compression::kZstd;
  return Compression::kNone;
}

absl::StatusOr<std::string> Unpack(std::string packed, absl::string_view name, const UnpackLimits& limits) {
  if (absl::StartsWith(packed, "\x1f\x8b")) return UnpackGzip(packed, name, limits);
  if (absl::StartsWith(packed, "\x28\xb5\x2f\xfd")) return UnpackZstd(packed, name, limits);
  if (packed.size() > limits.most.count()) return CheckLimits(packed.size(), packed.size(), name, limits);
  return packed;
}

absl::StatusOr<std::string> Pack(absl::string_view text, Compression compression) {
  switch (compression) {
    case Compression::kGzip:
      return PackGzip(text);
    case Compression::kZstd:
      return PackZstd(text);
    case Compression::kNone:
      break;
  }
  return std::string(text);
}

absl::StatusOr<std::string> ReadPackedFile(const std::string& path, const UnpackLimits& limits) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError("open", path, "check the name and its permissions");
  const absl::Cleanup close_it = [fd] { close(fd); };
  struct stat info = {};
  if (fstat(fd, &info) != 0) return FileError("fstat", path, "check the file system");
  if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is neither a file nor a pipe; give the name of a file"));
  }
  std::string packed;
  std::vector<char> chunk(kChunk);
  while (true) {
    const ssize_t count = read(fd, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError("read", path, "check the disk");
    if (count == 0) break;
    packed.append(chunk.data(), count);
    if (packed.size() > limits.most.count()) return CheckLimits(packed.size(), packed.size(), path, limits);
  }
  return Unpack(std::move(packed), path, limits);
}

absl::Status WritePackedFile(const std::string& path, absl::string_view text) {
  absl::StatusOr<std::string> packed = Pack(text, CompressionForName(path));
  if (!packed.ok()) return packed.status();
  return WriteFileAtomically(path, *packed);
}

}  // namespace thermocline::trace

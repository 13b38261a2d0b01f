// Trace format 1 (docs/formats.md), the written form of a profile: reader and writer.
//
// Thread safety: pure functions and plain data. Ownership: by value.
// Errors: InvalidArgument "NAME:LINE:COLUMN: tensor 5 ..." for text that is not such a trace: nothing is guessed. File
// errors as in compressed_file.h. Writing replaces the file as a whole or not at all.
#ifndef THERMOCLINE_TRACE_TRACE_FILE_H_
#define THERMOCLINE_TRACE_TRACE_FILE_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/profile/profile.h"
#include "src/trace/compressed_file.h"
#include "src/trace/json_object_reader.h"

namespace thermocline::trace {

// A profile, and the members of its trace that this version does not know: they are written back as they were read.
struct TraceFile {
  profile::Profile profile;
  ExtraMembers extras = {};                           // of the outermost object
  std::map<LayerId, ExtraMembers> layer_extras = {};  // only of layers that have some
  std::map<TensorId, ExtraMembers> tensor_extras = {};
};

// `name` stands for the text in messages.
absl::StatusOr<TraceFile> ParseTrace(absl::string_view text, absl::string_view name);
// One layer or tensor a line, so that messages about the file can be followed. InvalidArgument when profile::Validate
// refuses the profile.
absl::StatusOr<std::string> FormatTrace(const TraceFile& trace);

// Plain, gzip or zstd, told apart by content.
absl::StatusOr<TraceFile> ReadTrace(const std::string& path, const UnpackLimits& limits = {});
// Packed by the end of the name: .gz, .zst.
absl::Status WriteTrace(const std::string& path, const TraceFile& trace);
absl::Status WriteTrace(const std::string& path, const profile::Profile& profile);

}  // namespace thermocline::trace

#endif  // THERMOCLINE_TRACE_TRACE_FILE_H_

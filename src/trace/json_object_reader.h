// JsonObjectReader: takes the known members out of a JSON object, refuses wrong ones, and keeps the unknown ones.
//
// Usage: construct, call one function per known member, then Finish. The first thing wrong is the one reported; after
// it the functions do nothing. A member that is absent leaves its output as it is, unless it is required. Thread
// safety: none. Ownership: refers to the node and the source. Errors: as JsonSource::Error.
#ifndef THERMOCLINE_TRACE_JSON_OBJECT_READER_H_
#define THERMOCLINE_TRACE_JSON_OBJECT_READER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/base/units.h"
#include "src/trace/json_node.h"

namespace thermocline::trace {

// Members that a reader does not know: their names and their JSON text, to be written back as they were.
using ExtraMembers = std::vector<std::pair<std::string, std::string>>;

enum class Presence : uint8_t { kOptional, kRequired };

inline constexpr int64_t kMaxBytesInJson = int64_t{1} << 62;

class JsonObjectReader {
 public:
  // `what` names the object in messages: "tensor 5".
  JsonObjectReader(const JsonSource& source, const JsonNode& node, std::string what);

  void Integer(absl::string_view name, Presence presence, int64_t least, int64_t most, int64_t* out);
  void Size(absl::string_view name, Presence presence, Bytes* out);           // 0 .. 2^62
  void Number(absl::string_view name, Presence presence, double* out);        // finite, not negative
  void SignedNumber(absl::string_view name, Presence presence, double* out);  // finite
  void Boolean(absl::string_view name, Presence presence, bool* out);
  void String(absl::string_view name, Presence presence, std::string* out);
  // Integers from `least` to `most`.
  void Integers(absl::string_view name, Presence presence, int64_t least, int64_t most, std::vector<int64_t>* out);
  void Numbers(absl::string_view name, Presence presence, std::vector<double>* out);
  // The member when it is of that kind, else nullptr.
  const JsonNode* Member(absl::string_view name, Presence presence, JsonNode::Kind kind);

  // One value of a member that the caller walks through itself; false when it was refused.
  bool ToInteger(const JsonNode& node, absl::string_view name, int64_t least, int64_t most, int64_t* out);

  bool ok() const { return status_.ok(); }
  const std::string& what() const { return what_; }
  // Reports `message` at that node, unless something was wrong before.
  void Refuse(const JsonNode& at, absl::string_view message);
  // What the object is called in messages from now on.
  void Rename(std::string what) { what_ = std::move(what); }
  // Appends what was not asked for. `extras` may be nullptr: then it is dropped.
  absl::Status Finish(ExtraMembers* extras);

 private:
  bool ToNumber(const JsonNode& node, absl::string_view name, bool may_be_negative, double* out);
  const JsonNode* Find(absl::string_view name, Presence presence);

  const JsonSource& source_;
  const JsonNode& node_;
  std::string what_;
  absl::Status status_;
  std::vector<bool> known_;
};

}  // namespace thermocline::trace

#endif  // THERMOCLINE_TRACE_JSON_OBJECT_READER_H_

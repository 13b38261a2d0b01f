// JSON text as a tree that knows where in the text each value stands, so that a reader can refuse a value with its
// line. Long arrays are handed over element by element: a document is never in memory as a tree all at once.
//
// Thread safety: pure functions and plain data. Ownership: nodes own their text; they refer to the source by offset.
// Errors: absl::InvalidArgumentError "NAME:LINE:COLUMN: what is wrong". Bounded in depth and in the number of values,
// so hostile text costs neither stack nor unbounded memory.
#ifndef THERMOCLINE_TRACE_JSON_NODE_H_
#define THERMOCLINE_TRACE_JSON_NODE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace thermocline::trace {

struct JsonNode {
  enum class Kind : uint8_t { kNull, kBool, kSigned, kUnsigned, kDouble, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  bool boolean = false;
  union {
    int64_t signed_value = 0;  // kSigned: below zero
    uint64_t unsigned_value;   // kUnsigned
    double number;             // kDouble
  };
  int64_t begin = 0;  // where the value stands in the source: [begin, end)
  int64_t end = 0;
  std::string name;  // its name, when it is a member of an object
  std::string text;  // kString
  std::vector<JsonNode> children;

  bool is_number() const { return kind == Kind::kSigned || kind == Kind::kUnsigned || kind == Kind::kDouble; }
  double AsDouble() const;
};

// "a string", "an array", ...
absl::string_view KindName(JsonNode::Kind kind);

// The text that nodes refer to, and what to call it in messages.
struct JsonSource {
  std::string name;
  absl::string_view text;

  absl::Status Error(int64_t offset, absl::string_view message) const;
  absl::string_view Slice(const JsonNode& node) const { return text.substr(node.begin, node.end - node.begin); }
};

struct JsonParseOptions {
  int max_depth = 64;
  int64_t max_values = int64_t{1} << 22;         // in memory at a time
  std::vector<absl::string_view> streamed = {};  // members of the outermost object whose array elements are handed over
};

// Called with each element of a streamed array, in order; the element is gone afterwards. An error ends the parsing.
using JsonElementCallback =
    absl::FunctionRef<absl::Status(absl::string_view member, int64_t index, const JsonNode& element)>;

// Parses one JSON document. Streamed arrays come back empty.
absl::StatusOr<JsonNode> ParseJson(const JsonSource& source, const JsonParseOptions& options,
                                   JsonElementCallback on_element);
absl::StatusOr<JsonNode> ParseJson(const JsonSource& source);

}  // namespace thermocline::trace

#endif  // THERMOCLINE_TRACE_JSON_NODE_H_

#include "src/trace/json_node.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace thermocline::trace {
namespace {

// Walks the text and tells how far the parser has read: its callbacks carry no position.
class CountingIterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** read) : at_(at), read_(read) {}
  const char& operator*() const { return *at_; }
  CountingIterator& operator++() {
    *read_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** read_;
};

// nlohmann's SAX interface; the member names are its own.
class Builder {
 public:
  Builder(const JsonSource& source, const JsonParseOptions& options, JsonElementCallback on_element)
      : source_(source), options_(options), on_element_(on_element), read_(source.text.data()) {}

  const char** read() { return &read_; }
  absl::Status status() const { return status_; }
  JsonNode TakeRoot() { return std::move(root_); }

  bool null() {
    return Scalar(JsonNode::Kind::kNull, [](JsonNode&) {});
  }
  bool boolean(bool value) {
    return Scalar(JsonNode::Kind::kBool, [value](JsonNode& node) { node.boolean = value; });
  }
  bool number_integer(int64_t value) {
    return Scalar(JsonNode::Kind::kSigned, [value](JsonNode& node) { node.signed_value = value; });
  }
  bool number_unsigned(uint64_t value) {
    return Scalar(JsonNode::Kind::kUnsigned, [value](JsonNode& node) { node.unsigned_value = value; });
  }
  bool number_float(double value, const std::string&) {
    return Scalar(JsonNode::Kind::kDouble, [value](JsonNode& node) { node.number = value; });
  }
  bool string(std::string& value) {
    return Scalar(JsonNode::Kind::kString, [&value](JsonNode& node) { node.text = std::move(value); });
  }
  bool binary(std::vector<uint8_t>&) { return Fail("binary values are not JSON"); }
  bool start_object(size_t) { return Open(JsonNode::Kind::kObject); }
  bool start_array(size_t) { return Open(JsonNode::Kind::kArray); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool key(std::string& name) {
    name_ = std::move(name);
    last_end_ = Position();
    return true;
  }
  template <typename Exception>
  bool parse_error(size_t, const std::string&, const Exception& error) {
    absl::string_view what = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ...": the position is said once.
    for (absl::string_view before : {absl::string_view("] "), absl::string_view(": ")}) {
      const size_t at = what.find(before);
      if (at != absl::string_view::npos) what.remove_prefix(at + before.size());
    }
    return Fail(absl::StrCat("not JSON: ", what));
  }

 private:
  int64_t Position() const { return read_ - source_.text.data(); }

  bool Fail(absl::string_view message) {
    if (status_.ok()) status_ = source_.Error(std::max<int64_t>(Position() - 1, 0), message);
    return false;
  }

  // A new value under the innermost open one; nullptr when there are too many.
  JsonNode* Add(JsonNode::Kind kind) {
    if (++values_ > options_.max_values) {
      Fail(absl::StrCat("more than ", options_.max_values, " values in one element: not a file of ours"));
      return nullptr;
    }
    JsonNode* node = open_.empty() ? &root_ : &open_.back()->children.emplace_back();
    node->kind = kind;
    if (!open_.empty() && open_.back()->kind == JsonNode::Kind::kObject) node->name = std::move(name_);
    return node;
  }

  template <typename Fill>
  bool Scalar(JsonNode::Kind kind, Fill fill) {
    JsonNode* node = Add(kind);
    if (node == nullptr) return false;
    fill(*node);
    node->end = Position();
    // The end of a number, always a digit, is only seen at the character after it, which the parser has read by now.
    if (node->is_number() && !absl::ascii_isdigit(source_.text[node->end - 1])) --node->end;
    node->begin = SkipToValue(last_end_);
    return Complete(*node);
  }

  // Where the value starts that follows the end of what came before it.
  int64_t SkipToValue(int64_t at) const {
    constexpr absl::string_view kBetween = ",: \t\r\n";
    while (at < source_.text.size() && kBetween.find(source_.text[at]) != absl::string_view::npos) ++at;
    return at;
  }

  bool Open(JsonNode::Kind kind) {
    if (open_.size() >= options_.max_depth) {
      return Fail(absl::StrCat("nested deeper than ", options_.max_depth, " levels"));
    }
    JsonNode* node = Add(kind);
    if (node == nullptr) return false;
    node->begin = Position() - 1;
    last_end_ = Position();
    if (open_.size() == 1 && kind == JsonNode::Kind::kArray && root_.kind == JsonNode::Kind::kObject) {
      streaming_ = std::find(options_.streamed.begin(), options_.streamed.end(), node->name) != options_.streamed.end();
      index_ = 0;
      values_at_open_ = values_;
    }
    open_.push_back(node);
    return true;
  }

  bool Close() {
    JsonNode* node = open_.back();
    open_.pop_back();
    node->end = Position();
    if (open_.size() == 1) streaming_ = false;
    return Complete(*node);
  }

  bool Complete(JsonNode& node) {
    last_end_ = node.end;
    if (!streaming_ || open_.size() != 2) return true;
    JsonNode* array = open_.back();
    status_ = on_element_(array->name, index_++, node);
    array->children.clear();
    values_ = values_at_open_;
    return status_.ok();
  }

  const JsonSource& source_;
  const JsonParseOptions& options_;
  JsonElementCallback on_element_;
  const char* read_;
  absl::Status status_;
  JsonNode root_;
  std::vector<JsonNode*> open_;  // outermost first; only the innermost one's children grow, so the pointers stay valid
  std::string name_;
  int64_t values_ = 0;
  int64_t values_at_open_ = 0;  // when the streamed array was opened
  int64_t last_end_ = 0;
  int64_t index_ = 0;
  bool streaming_ = false;
};

}  // namespace

double JsonNode::AsDouble() const {
  switch (kind) {
    case Kind::kSigned:
      return static_cast<double>(signed_value);
    case Kind::kUnsigned:
      return static_cast<double>(unsigned_value);
    case Kind::kDouble:
      return number;
    default:
      return 0;
  }
}

absl::string_view KindName(JsonNode::Kind kind) {
  switch (kind) {
    case JsonNode::Kind::kNull:
      return "null";
    case JsonNode::Kind::kBool:
      return "true or false";
    case JsonNode::Kind::kString:
      return "a string";
    case JsonNode::Kind::kArray:
      return "an array";
    case JsonNode::Kind::kObject:
      return "an object";
    default:
      return "a number";
  }
}

absl::Status JsonSource::Error(int64_t offset, absl::string_view message) const {
  const absl::string_view before = text.substr(0, offset);
  const int64_t line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const int64_t column = newline == absl::string_view::npos ? before.size() + 1 : before.size() - newline;
  return absl::InvalidArgumentError(absl::StrCat(name, ":", line, ":", column, ": ", message));
}

absl::StatusOr<JsonNode> ParseJson(const JsonSource& source, const JsonParseOptions& options,
                                   JsonElementCallback on_element) {
  Builder builder(source, options, on_element);
  const char* first = source.text.data();
  const CountingIterator begin(first, builder.read());
  const CountingIterator end(first + source.text.size(), builder.read());
  const bool done = nlohmann::json::sax_parse(begin, end, &builder);
  if (!builder.status().ok()) return builder.status();
  if (!done) return source.Error(0, "not JSON");
  return builder.TakeRoot();
}

absl::StatusOr<JsonNode> ParseJson(const JsonSource& source) {
  return ParseJson(source, JsonParseOptions(),
                   [](absl::string_view, int64_t, const JsonNode&) { return absl::OkStatus(); });
}

}  // namespace thermocline::trace

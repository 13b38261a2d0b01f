#include "src/trace/json_object_reader.h"

#include <cmath>
#include <limits>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace thermocline::trace {
namespace {

// Reads an integer of any spelling (5, 5.0, 5e0) without losing a digit.
bool Integral(const JsonNode& node, int64_t* out) {
  switch (node.kind) {
    case JsonNode::Kind::kSigned:
      *out = node.signed_value;
      return true;
    case JsonNode::Kind::kUnsigned:
      if (node.unsigned_value > std::numeric_limits<int64_t>::max()) return false;
      *out = static_cast<int64_t>(node.unsigned_value);
      return true;
    case JsonNode::Kind::kDouble:
      if (!(std::abs(node.number) <= 9007199254740992.0) || node.number != std::floor(node.number)) return false;
      *out = static_cast<int64_t>(node.number);
      return true;
    default:
      return false;
  }
}

}  // namespace

JsonObjectReader::JsonObjectReader(const JsonSource& source, const JsonNode& node, std::string what)
    : source_(source), node_(node), what_(std::move(what)), known_(node.children.size()) {
  if (node.kind != JsonNode::Kind::kObject) {
    Refuse(node, absl::StrCat("is ", KindName(node.kind), "; it must be an object"));
    return;
  }
  absl::flat_hash_set<absl::string_view> seen;
  for (const JsonNode& child : node.children) {
    if (!seen.insert(child.name).second) Refuse(child, absl::StrCat("has \"", child.name, "\" twice"));
  }
}

void JsonObjectReader::Refuse(const JsonNode& at, absl::string_view message) {
  if (status_.ok()) status_ = source_.Error(at.begin, absl::StrCat(what_, " ", message));
}

const JsonNode* JsonObjectReader::Find(absl::string_view name, Presence presence) {
  if (!ok()) return nullptr;
  for (size_t i = 0; i < node_.children.size(); ++i) {
    if (node_.children[i].name != name) continue;
    known_[i] = true;
    return &node_.children[i];
  }
  if (presence == Presence::kRequired) Refuse(node_, absl::StrCat("has no \"", name, "\"; it is required"));
  return nullptr;
}

const JsonNode* JsonObjectReader::Member(absl::string_view name, Presence presence, JsonNode::Kind kind) {
  const JsonNode* node = Find(name, presence);
  if (node == nullptr || node->kind == kind) return node;
  Refuse(*node, absl::StrCat("has ", KindName(node->kind), " as \"", name, "\"; it must be ", KindName(kind)));
  return nullptr;
}

bool JsonObjectReader::ToInteger(const JsonNode& node, absl::string_view name, int64_t least, int64_t most,
                                 int64_t* out) {
  int64_t value = 0;
  if (Integral(node, &value) && value >= least && value <= most) {
    *out = value;
    return true;
  }
  const absl::string_view text = node.is_number() ? source_.Slice(node) : KindName(node.kind);
  Refuse(node, absl::StrCat("has ", text.substr(0, 40), " in \"", name, "\"; it must be an integer from ", least,
                            " to ", most));
  return false;
}

bool JsonObjectReader::ToNumber(const JsonNode& node, absl::string_view name, bool may_be_negative, double* out) {
  const double value = node.AsDouble();
  if (node.is_number() && std::isfinite(value) && (may_be_negative || value >= 0)) {
    *out = value;
    return true;
  }
  const absl::string_view text = node.is_number() ? source_.Slice(node) : KindName(node.kind);
  Refuse(node, absl::StrCat("has ", text.substr(0, 40), " in \"", name, "\"; it must be a number",
                            may_be_negative ? "" : ", not negative"));
  return false;
}

void JsonObjectReader::Integer(absl::string_view name, Presence presence, int64_t least, int64_t most, int64_t* out) {
  if (const JsonNode* node = Find(name, presence)) ToInteger(*node, name, least, most, out);
}

void JsonObjectReader::Size(absl::string_view name, Presence presence, Bytes* out) {
  int64_t count = out->count();
  Integer(name, presence, 0, kMaxBytesInJson, &count);
  *out = Bytes(count);
}

void JsonObjectReader::Number(absl::string_view name, Presence presence, double* out) {
  if (const JsonNode* node = Find(name, presence)) ToNumber(*node, name, false, out);
}

void JsonObjectReader::SignedNumber(absl::string_view name, Presence presence, double* out) {
  if (const JsonNode* node = Find(name, presence)) ToNumber(*node, name, true, out);
}

void JsonObjectReader::Boolean(absl::string_view name, Presence presence, bool* out) {
  if (const JsonNode* node = Member(name, presence, JsonNode::Kind::kBool)) *out = node->boolean;
}

void JsonObjectReader::String(absl::string_view name, Presence presence, std::string* out) {
  if (const JsonNode* node = Member(name, presence, JsonNode::Kind::kString)) *out = node->text;
}

void JsonObjectReader::Integers(absl::string_view name, Presence presence, int64_t least, int64_t most,
                                std::vector<int64_t>* out) {
  const JsonNode* node = Member(name, presence, JsonNode::Kind::kArray);
  if (node == nullptr) return;
  out->reserve(node->children.size());
  for (const JsonNode& child : node->children) {
    if (!ToInteger(child, name, least, most, &out->emplace_back())) return;
  }
}

void JsonObjectReader::Numbers(absl::string_view name, Presence presence, std::vector<double>* out) {
  const JsonNode* node = Member(name, presence, JsonNode::Kind::kArray);
  if (node == nullptr) return;
  out->reserve(node->children.size());
  for (const JsonNode& child : node->children) {
    if (!ToNumber(child, name, false, &out->emplace_back())) return;
  }
}

absl::Status JsonObjectReader::Finish(ExtraMembers* extras) {
  if (!ok() || extras == nullptr) return status_;
  for (size_t i = 0; i < node_.children.size(); ++i) {
    const JsonNode& child = node_.children[i];
    if (!known_[i]) extras->emplace_back(child.name, std::string(source_.Slice(child)));
  }
  return status_;
}

}  // namespace thermocline::trace

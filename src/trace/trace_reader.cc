#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/trace/trace_file.h"

namespace thermocline::trace {
namespace {

constexpr int64_t kMaxLayers = int64_t{1} << 24;
constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxOrdinal = std::numeric_limits<int32_t>::max();

class TraceParser {
 public:
  TraceParser(absl::string_view text, absl::string_view name) : source_{std::string(name), text} {}

  absl::StatusOr<TraceFile> Parse();

 private:
  absl::Status ReadLayer(int64_t index, const JsonNode& node);
  absl::Status ReadTensor(const JsonNode& node);
  void ReadAccesses(JsonObjectReader& reader, profile::Tensor& tensor);
  void ReadCounts(JsonObjectReader& reader, profile::Tensor& tensor);
  void CheckOverwrites(JsonObjectReader& reader, const profile::Tensor& tensor, const JsonNode& node);
  absl::Status ReadHeader(const JsonNode& root);
  // What only the whole file can tell: whether the layers that a tensor names exist, and it is alive in them.
  absl::Status CheckLayersOf(const profile::Tensor& tensor, int64_t offset) const;

  JsonSource source_;
  TraceFile trace_;
  std::vector<int64_t> tensor_offsets_;
  absl::flat_hash_set<int64_t> ids_;
};

absl::Status TraceParser::ReadLayer(int64_t index, const JsonNode& node) {
  if (index >= kMaxLayers) return source_.Error(node.begin, absl::StrCat("more than ", kMaxLayers, " layers"));
  JsonObjectReader reader(source_, node, absl::StrCat("layer ", index));
  profile::Layer layer;
  reader.String("name", Presence::kOptional, &layer.name);
  reader.Number("seconds", Presence::kRequired, &layer.seconds);
  reader.Size("floor_bytes", Presence::kOptional, &layer.floor);
  reader.Number("flops", Presence::kOptional, &layer.flops);
  reader.Number("bytes", Presence::kOptional, &layer.bytes);
  reader.Integer("first_event", Presence::kOptional, -1, kMaxInt, &layer.first_event);
  ExtraMembers extras;
  if (absl::Status status = reader.Finish(&extras); !status.ok()) return status;
  if (!extras.empty()) trace_.layer_extras[LayerId(static_cast<int32_t>(index))] = std::move(extras);
  trace_.profile.layers.push_back(std::move(layer));
  return absl::OkStatus();
}

// The access to `layer` in a list sorted by layer; added when it is not there.
profile::Access& AccessTo(std::vector<profile::Access>& accesses, LayerId layer) {
  const auto at = std::lower_bound(accesses.begin(), accesses.end(), layer,
                                   [](const profile::Access& access, LayerId id) { return access.layer < id; });
  if (at != accesses.end() && at->layer == layer) return *at;
  return *accesses.insert(at, profile::Access{.layer = layer});
}

void TraceParser::ReadAccesses(JsonObjectReader& reader, profile::Tensor& tensor) {
  std::vector<int64_t> reads, writes, overwrites;
  reader.Integers("reads", Presence::kOptional, 0, kMaxLayers - 1, &reads);
  reader.Integers("writes", Presence::kOptional, 0, kMaxLayers - 1, &writes);
  reader.Integers("overwrites", Presence::kOptional, 0, kMaxLayers - 1, &overwrites);
  if (!reader.ok()) return;
  std::vector<int64_t> layers(reads);
  layers.insert(layers.end(), writes.begin(), writes.end());
  layers.insert(layers.end(), overwrites.begin(), overwrites.end());
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  tensor.accesses.reserve(layers.size());
  for (int64_t layer : layers) tensor.accesses.push_back({.layer = LayerId(static_cast<int32_t>(layer))});
  const auto access = [&tensor](int64_t layer) -> profile::Access& {
    return AccessTo(tensor.accesses, LayerId(static_cast<int32_t>(layer)));
  };
  for (int64_t layer : reads) access(layer).read = true;
  for (int64_t layer : writes) access(layer).write = true;
  for (int64_t layer : overwrites) access(layer).overwrite = true;
}

void TraceParser::CheckOverwrites(JsonObjectReader& reader, const profile::Tensor& tensor, const JsonNode& node) {
  for (const profile::Access& access : tensor.accesses) {
    if (!access.overwrite || access.write) continue;
    reader.Refuse(node, absl::StrCat("has layer ", access.layer.value(),
                                     " in \"overwrites\" but not in \"writes\"; what overwrites also writes"));
  }
}

void TraceParser::ReadCounts(JsonObjectReader& reader, profile::Tensor& tensor) {
  const JsonNode* counts = reader.Member("counts", Presence::kOptional, JsonNode::Kind::kObject);
  if (counts == nullptr) return;
  absl::flat_hash_set<int32_t> seen;
  for (const JsonNode& child : counts->children) {
    int32_t layer = 0;
    if (!absl::SimpleAtoi(child.name, &layer) || layer < 0) {
      return reader.Refuse(child, absl::StrCat("has \"", child.name.substr(0, 40),
                                               "\" in \"counts\"; it must be the number of a layer"));
    }
    int64_t pages = 0;
    if (!reader.ToInteger(child, "counts", 0, kMaxInt, &pages)) return;
    const auto at = std::lower_bound(tensor.accesses.begin(), tensor.accesses.end(), LayerId(layer),
                                     [](const profile::Access& access, LayerId id) { return access.layer < id; });
    if (at == tensor.accesses.end() || at->layer != LayerId(layer)) {
      return reader.Refuse(child, absl::StrCat("counts page accesses in layer ", layer,
                                               ", which is neither in its \"reads\" nor in its \"writes\""));
    }
    if (!seen.insert(layer).second) return reader.Refuse(child, absl::StrCat("counts layer ", layer, " twice"));
    at->pages = pages;
  }
}

absl::Status TraceParser::ReadTensor(const JsonNode& node) {
  profile::Tensor tensor;
  JsonObjectReader reader(source_, node, absl::StrCat("tensor number ", trace_.profile.tensors.size()));
  int64_t id = 0, birth = -1, death = -1, ordinal = -1;
  reader.Integer("id", Presence::kRequired, 0, kMaxInt, &id);
  if (reader.ok()) reader.Rename(absl::StrCat("tensor ", id));
  if (reader.ok() && !ids_.insert(id).second) reader.Refuse(node, "is there twice: ids must differ");
  reader.Size("bytes", Presence::kRequired, &tensor.bytes);
  reader.Integer("birth_layer", Presence::kRequired, -1, kMaxLayers - 1, &birth);
  reader.Integer("death_layer", Presence::kRequired, -1, kMaxLayers - 1, &death);
  reader.Integer("ordinal", Presence::kOptional, -1, kMaxOrdinal, &ordinal);
  reader.Integer("birth_event", Presence::kOptional, -1, kMaxInt, &tensor.birth_event);
  reader.Integer("death_event", Presence::kOptional, -1, kMaxInt, &tensor.death_event);
  reader.Integer("fixed_offset", Presence::kOptional, -1, kMaxBytesInJson, &tensor.fixed_offset);
  ReadAccesses(reader, tensor);
  CheckOverwrites(reader, tensor, node);
  ReadCounts(reader, tensor);
  ExtraMembers extras;
  if (absl::Status status = reader.Finish(&extras); !status.ok()) return status;
  tensor.id = TensorId(id);
  tensor.birth = LayerId(static_cast<int32_t>(birth));
  tensor.death = LayerId(static_cast<int32_t>(death));
  tensor.ordinal = static_cast<int32_t>(ordinal);
  if (!extras.empty()) trace_.tensor_extras[tensor.id] = std::move(extras);
  trace_.profile.tensors.push_back(std::move(tensor));
  tensor_offsets_.push_back(node.begin);
  return absl::OkStatus();
}

absl::Status TraceParser::ReadHeader(const JsonNode& root) {
  JsonObjectReader reader(source_, root, "the trace");
  int64_t version = 0;
  int64_t page_bytes = trace_.profile.page_bytes.count();
  reader.Integer("version", Presence::kRequired, 1, 1, &version);
  reader.String("model", Presence::kOptional, &trace_.profile.model);
  reader.Integer("batch", Presence::kOptional, 0, kMaxInt, &trace_.profile.batch);
  reader.Integer("page_bytes", Presence::kOptional, 1, int64_t{1} << 40, &page_bytes);
  reader.Size("peak_bytes", Presence::kOptional, &trace_.profile.peak_bytes);
  reader.Member("layers", Presence::kRequired, JsonNode::Kind::kArray);
  reader.Member("tensors", Presence::kRequired, JsonNode::Kind::kArray);
  trace_.profile.page_bytes = Bytes(page_bytes);
  return reader.Finish(&trace_.extras);
}

absl::Status TraceParser::CheckLayersOf(const profile::Tensor& tensor, int64_t offset) const {
  const int64_t count = trace_.profile.layers.size();
  const auto refuse = [&](absl::string_view what, LayerId layer, absl::string_view why) {
    return source_.Error(offset, absl::StrCat("tensor ", tensor.id.value(), " ", what, " layer ", layer.value(), why));
  };
  const std::string absent = absl::StrCat(", but the trace has only ", count, " layers (from 0)");
  if (tensor.birth.value() >= count) return refuse("is born in", tensor.birth, absent);
  if (tensor.death.value() >= count) return refuse("dies in", tensor.death, absent);
  for (const profile::Access& access : tensor.accesses) {
    if (access.layer.value() >= count) return refuse("is touched in", access.layer, absent);
    if (!profile::AliveIn(tensor, access.layer))
      return refuse("is touched in", access.layer, ", where it is not alive");
  }
  return absl::OkStatus();
}

absl::StatusOr<TraceFile> TraceParser::Parse() {
  const JsonParseOptions options{.streamed = {"layers", "tensors"}};
  absl::StatusOr<JsonNode> root =
      ParseJson(source_, options, [this](absl::string_view member, int64_t index, const JsonNode& node) {
        return member == "layers" ? ReadLayer(index, node) : ReadTensor(node);
      });
  if (!root.ok()) return root.status();
  if (absl::Status status = ReadHeader(*root); !status.ok()) return status;
  for (size_t i = 0; i < tensor_offsets_.size(); ++i) {
    absl::Status status = CheckLayersOf(trace_.profile.tensors[i], tensor_offsets_[i]);
    if (!status.ok()) return status;
  }
  if (absl::Status status = profile::Validate(trace_.profile); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(source_.name, ": ", status.message()));
  }
  return std::move(trace_);
}

}  // namespace

absl::StatusOr<TraceFile> ParseTrace(absl::string_view text, absl::string_view name) {
  return TraceParser(text, name).Parse();
}

absl::StatusOr<TraceFile> ReadTrace(const std::string& path, const UnpackLimits& limits) {
  absl::StatusOr<std::string> text = ReadPackedFile(path, limits);
  if (!text.ok()) return text.status();
  return ParseTrace(*text, path);
}

}  // namespace thermocline::trace

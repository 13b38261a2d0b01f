#include <charconv>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/trace/trace_file.h"

namespace thermocline::trace {
namespace {

// Invalid UTF-8, which a layer's name from C may hold, is replaced rather than refused.
std::string Quoted(absl::string_view text) {
  return nlohmann::json(std::string(text)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// The shortest text that reads back as the same number.
std::string Exact(double number) {
  char buffer[32];
  const std::to_chars_result result = std::to_chars(buffer, buffer + sizeof(buffer), number);
  return std::string(buffer, result.ptr);
}

template <typename Keep>
std::string LayerList(const profile::Tensor& tensor, Keep keep) {
  std::string list = "[";
  for (const profile::Access& access : tensor.accesses) {
    if (keep(access)) absl::StrAppend(&list, list.size() > 1 ? "," : "", access.layer.value());
  }
  return list + "]";
}

void AppendExtras(const ExtraMembers& extras, absl::string_view separator, std::string* out) {
  for (const auto& [name, text] : extras) absl::StrAppend(out, separator, Quoted(name), ":", text);
}

void AppendOptional(absl::string_view name, int64_t value, std::string* out) {
  if (value >= 0) absl::StrAppend(out, ",\"", name, "\":", value);
}

void AppendLayer(const profile::Layer& layer, const ExtraMembers* extras, std::string* out) {
  absl::StrAppend(out, "{\"name\":", Quoted(layer.name), ",\"seconds\":", Exact(layer.seconds));
  if (layer.floor > Bytes(0)) absl::StrAppend(out, ",\"floor_bytes\":", layer.floor.count());
  if (layer.flops > 0) absl::StrAppend(out, ",\"flops\":", Exact(layer.flops));
  if (layer.bytes > 0) absl::StrAppend(out, ",\"bytes\":", Exact(layer.bytes));
  AppendOptional("first_event", layer.first_event, out);
  if (extras != nullptr) AppendExtras(*extras, ",", out);
  out->push_back('}');
}

void AppendTensor(const profile::Tensor& tensor, const ExtraMembers* extras, std::string* out) {
  absl::StrAppend(out, "{\"id\":", tensor.id.value(), ",\"bytes\":", tensor.bytes.count(),
                  ",\"birth_layer\":", tensor.birth.value(), ",\"death_layer\":", tensor.death.value());
  absl::StrAppend(out, ",\"reads\":", LayerList(tensor, [](const profile::Access& a) { return a.read; }),
                  ",\"writes\":", LayerList(tensor, [](const profile::Access& a) { return a.write; }));
  const std::string overwrites = LayerList(tensor, [](const profile::Access& a) { return a.overwrite; });
  if (overwrites != "[]") absl::StrAppend(out, ",\"overwrites\":", overwrites);
  std::string counts;
  for (const profile::Access& access : tensor.accesses) {
    if (access.pages <= 0) continue;
    absl::StrAppend(&counts, counts.empty() ? "" : ",", "\"", access.layer.value(), "\":", access.pages);
  }
  if (!counts.empty()) absl::StrAppend(out, ",\"counts\":{", counts, "}");
  AppendOptional("ordinal", tensor.ordinal, out);
  AppendOptional("birth_event", tensor.birth_event, out);
  AppendOptional("death_event", tensor.death_event, out);
  AppendOptional("fixed_offset", tensor.fixed_offset, out);
  if (extras != nullptr) AppendExtras(*extras, ",", out);
  out->push_back('}');
}

template <typename Map, typename Key>
const ExtraMembers* Find(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

}  // namespace

absl::StatusOr<std::string> FormatTrace(const TraceFile& trace) {
  const profile::Profile& profile = trace.profile;
  if (absl::Status status = profile::Validate(profile); !status.ok()) return status;
  std::string out = absl::StrCat("{\"version\":1,\n\"model\":", Quoted(profile.model), ",\n\"batch\":", profile.batch,
                                 ",\n\"page_bytes\":", profile.page_bytes.count());
  if (profile.peak_bytes > Bytes(0)) absl::StrAppend(&out, ",\n\"peak_bytes\":", profile.peak_bytes.count());
  AppendExtras(trace.extras, ",\n", &out);
  absl::StrAppend(&out, ",\n\"layers\":[");
  for (size_t i = 0; i < profile.layers.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "\n" : ",\n");
    AppendLayer(profile.layers[i], Find(trace.layer_extras, LayerId(static_cast<int32_t>(i))), &out);
  }
  absl::StrAppend(&out, "\n],\n\"tensors\":[");
  for (size_t i = 0; i < profile.tensors.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "\n" : ",\n");
    AppendTensor(profile.tensors[i], Find(trace.tensor_extras, profile.tensors[i].id), &out);
  }
  absl::StrAppend(&out, "\n]}\n");
  return out;
}

absl::Status WriteTrace(const std::string& path, const TraceFile& trace) {
  absl::StatusOr<std::string> text = FormatTrace(trace);
  if (!text.ok()) return text.status();
  return WritePackedFile(path, *text);
}

absl::Status WriteTrace(const std::string& path, const profile::Profile& profile) {
  return WriteTrace(path, TraceFile{.profile = profile});
}

}  // namespace thermocline::trace

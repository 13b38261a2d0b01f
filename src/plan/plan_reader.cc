#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/plan/plan_file.h"
#include "src/plan/region_names.h"
#include "src/trace/compressed_file.h"
#include "src/trace/json_object_reader.h"

namespace thermocline::plan {
namespace {

using trace::JsonNode;
using trace::JsonObjectReader;
using trace::Presence;

constexpr int64_t kMaxGranule = int64_t{0xfffffffe};
constexpr int64_t kMaxLayers = int64_t{1} << 24;
constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxOffset = int64_t{1} << 62;
constexpr int64_t kPageBytes = 4096;  // no two tensors of a layout share one

class PlanParser {
 public:
  PlanParser(absl::string_view text, absl::string_view name) : source_{std::string(name), text} {}

  absl::StatusOr<MigrationPlan> Parse() {
    const trace::JsonParseOptions options{.streamed = {"layers", "placements"}};
    absl::StatusOr<JsonNode> root =
        trace::ParseJson(source_, options, [this](absl::string_view member, int64_t index, const JsonNode& node) {
          return member == "layers" ? ReadLayer(index, node) : ReadPlacement(index, node);
        });
    if (!root.ok()) return root.status();
    if (absl::Status status = ReadHeader(*root); !status.ok()) return status;
    if (absl::Status status = CheckWhole(); !status.ok()) return status;
    return std::move(plan_);
  }

 private:
  static void ReadIds(JsonObjectReader& reader, absl::string_view name, Presence presence,
                      std::vector<GranuleId>* out) {
    std::vector<int64_t> ids;
    reader.Integers(name, presence, 0, kMaxGranule, &ids);
    for (const int64_t id : ids) out->push_back(GranuleId(static_cast<uint32_t>(id)));
  }

  absl::Status ReadFetch(const JsonNode& node, int64_t layer, Fetch* fetch) {
    JsonObjectReader reader(source_, node, absl::StrCat("a fetch of layer ", layer));
    int64_t granule = 0;
    int64_t deadline = 0;
    reader.Integer("granule", Presence::kRequired, 0, kMaxGranule, &granule);
    reader.Integer("deadline", Presence::kRequired, 0, kMaxLayers - 1, &deadline);
    reader.Boolean("for_writing", Presence::kOptional, &fetch->for_writing);
    fetch->granule = GranuleId(static_cast<uint32_t>(granule));
    fetch->deadline = LayerId(static_cast<int32_t>(deadline));
    return reader.Finish(nullptr);
  }

  absl::Status ReadLayer(int64_t index, const JsonNode& node) {
    if (index >= kMaxLayers) return source_.Error(node.begin, absl::StrCat("more than ", kMaxLayers, " layers"));
    JsonObjectReader reader(source_, node, absl::StrCat("layer ", index));
    LayerActions actions;
    ReadIds(reader, "release", Presence::kOptional, &actions.release);
    ReadIds(reader, "write_back", Presence::kOptional, &actions.write_back);
    ReadIds(reader, "provide", Presence::kOptional, &actions.provide);
    ReadIds(reader, "need", Presence::kOptional, &actions.need);
    if (const JsonNode* fetches = reader.Member("fetch", Presence::kOptional, JsonNode::Kind::kArray)) {
      for (const JsonNode& child : fetches->children) {
        if (absl::Status status = ReadFetch(child, index, &actions.fetch.emplace_back()); !status.ok()) return status;
      }
    }
    plan_.layers.push_back(std::move(actions));
    return reader.Finish(nullptr);
  }

  absl::Status ReadPlacement(int64_t index, const JsonNode& node) {
    JsonObjectReader reader(source_, node, absl::StrCat("placement ", index));
    Placement placement;
    int64_t tensor = 0, birth = -1, ordinal = -1;
    std::string region;
    reader.Integer("tensor", Presence::kRequired, 0, kMaxInt, &tensor);
    reader.Integer("birth_layer", Presence::kRequired, -1, kMaxLayers - 1, &birth);
    reader.Integer("ordinal", Presence::kRequired, -1, std::numeric_limits<int32_t>::max(), &ordinal);
    reader.Size("bytes", Presence::kRequired, &placement.bytes);
    reader.String("region", Presence::kRequired, &region);
    reader.Integer("offset", Presence::kRequired, 0, kMaxOffset, &placement.offset);
    placement.tensor = TensorId(tensor);
    placement.birth = LayerId(static_cast<int32_t>(birth));
    placement.ordinal = static_cast<int32_t>(ordinal);
    const std::optional<Region> named = RegionNamed(region);
    if (reader.ok() && !named) {
      reader.Refuse(
          node, absl::StrCat("has region '", region.substr(0, 40), "'; it must be short_lived, migratable or fixed"));
    }
    if (reader.ok() && placement.offset > kMaxOffset - placement.bytes.count()) {
      reader.Refuse(node, "ends beyond 2^62 bytes");
    }
    placement.region = named.value_or(Region::kMigratable);
    plan_.placements.push_back(placement);
    return reader.Finish(nullptr);
  }

  static void ReadHash(JsonObjectReader& reader, const JsonNode& root, absl::string_view name, uint64_t* out) {
    std::string digits;
    reader.String(name, Presence::kRequired, &digits);
    if (!reader.ok()) return;
    bool hex = digits.size() == 16;
    for (const char c : digits) hex &= absl::ascii_isxdigit(static_cast<unsigned char>(c)) != 0;
    if (!hex || !absl::SimpleHexAtoi(digits, out)) {
      reader.Refuse(root, absl::StrCat("has a \"", name, "\" that is not 16 hexadecimal digits"));
    }
  }

  absl::Status ReadHeader(const JsonNode& root) {
    JsonObjectReader reader(source_, root, "the plan");
    int64_t version = 0;
    int64_t interval_layers = 0;
    reader.Integer("version", Presence::kRequired, 1, 1, &version);
    reader.String("planner", Presence::kRequired, &plan_.planner);
    ReadHash(reader, root, "profile_hash", &plan_.profile_hash);
    ReadHash(reader, root, "sequence_hash", &plan_.sequence_hash);
    reader.Size("budget_bytes", Presence::kRequired, &plan_.budget);
    reader.Size("granule_bytes", Presence::kRequired, &plan_.granule_bytes);
    reader.Integer("layout_base", Presence::kRequired, 0, kMaxOffset, &plan_.layout_base);
    reader.Integer("layout_end", Presence::kRequired, 0, kMaxOffset, &plan_.layout_end);
    reader.Size("short_lived_bytes", Presence::kRequired, &plan_.short_lived_bytes);
    reader.Integer("interval_layers", Presence::kOptional, 0, kMaxLayers, &interval_layers);
    reader.Boolean("waits", Presence::kOptional, &plan_.waits);
    reader.Number("predicted_seconds", Presence::kOptional, &plan_.predicted_seconds);
    reader.Number("predicted_exposed_seconds", Presence::kOptional, &plan_.predicted_exposed_seconds);
    reader.Size("predicted_in_bytes", Presence::kOptional, &plan_.predicted_in);
    reader.Size("predicted_out_bytes", Presence::kOptional, &plan_.predicted_out);
    ReadIds(reader, "resident_at_start", Presence::kRequired, &plan_.resident_at_start);
    reader.Member("layers", Presence::kRequired, JsonNode::Kind::kArray);
    reader.Member("placements", Presence::kRequired, JsonNode::Kind::kArray);
    plan_.interval_layers = static_cast<int>(interval_layers);
    return reader.Finish(nullptr);
  }

  absl::Status Wrong(absl::string_view message) const {
    return absl::InvalidArgumentError(absl::StrCat(source_.name, ": the plan ", message));
  }

  // What only the whole file can tell.
  absl::Status CheckWhole() const {
    const int64_t granule = plan_.granule_bytes.count();
    const int64_t layers = static_cast<int64_t>(plan_.layers.size());
    if (granule < 4096 || (granule & (granule - 1)) != 0) {
      return Wrong(absl::StrCat("has granules of ", granule, " bytes; it must be a power of two of at least 4096"));
    }
    if (layers == 0) return Wrong("has no layers");
    if (plan_.layout_base % granule != 0) return Wrong("has a layout_base that is no multiple of its granules");
    for (int64_t l = 0; l < layers; ++l) {
      for (const Fetch& fetch : plan_.layers[l].fetch) {
        if (fetch.deadline.value() < layers) continue;
        return Wrong(absl::StrCat("has a fetch in layer ", l, " with deadline ", fetch.deadline.value(), ", but only ",
                                  layers, " layers (from 0)"));
      }
    }
    for (const Placement& placement : plan_.placements) {
      const std::string which = absl::StrCat("places tensor ", placement.tensor.value());
      if (placement.birth.value() >= layers) {
        return Wrong(absl::StrCat(which, " from layer ", placement.birth.value(), " on, but has only ", layers));
      }
      if (placement.region == Region::kFixed) continue;
      if (placement.offset % kPageBytes != 0) {
        return Wrong(absl::StrCat(which, " at ", placement.offset, ", which is no multiple of ", kPageBytes));
      }
      if (placement.offset < plan_.layout_base || placement.offset + placement.bytes.count() > plan_.layout_end) {
        return Wrong(absl::StrCat(which, " at ", placement.offset, ", outside of its layout [", plan_.layout_base, ", ",
                                  plan_.layout_end, ")"));
      }
    }
    return absl::OkStatus();
  }

  trace::JsonSource source_;
  MigrationPlan plan_;
};

}  // namespace

absl::StatusOr<MigrationPlan> PlanFromJson(absl::string_view text, absl::string_view name) {
  return PlanParser(text, name).Parse();
}

absl::StatusOr<MigrationPlan> LoadPlan(const std::string& path) {
  absl::StatusOr<std::string> text = trace::ReadPackedFile(path);
  if (!text.ok()) return text.status();
  return PlanFromJson(*text, path);
}

}  // namespace thermocline::plan

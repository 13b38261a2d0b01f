#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "src/base/atomic_file.h"
#include "src/plan/plan_file.h"
#include "src/plan/region_names.h"

namespace thermocline::plan {
namespace {

// Members in the order in which they are written.
using Json = nlohmann::ordered_json;

Json Ids(const std::vector<GranuleId>& granules) {
  Json ids = Json::array();
  for (const GranuleId granule : granules) ids.push_back(granule.value());
  return ids;
}

Json ToJson(const LayerActions& actions) {
  Json json = Json::object();
  // What is empty is left out: most layers of most plans move little.
  const auto add = [&json](const char* name, const std::vector<GranuleId>& granules) {
    if (!granules.empty()) json[name] = Ids(granules);
  };
  add("release", actions.release);
  add("write_back", actions.write_back);
  add("provide", actions.provide);
  for (const Fetch& fetch : actions.fetch) {
    json["fetch"].push_back(
        {{"granule", fetch.granule.value()}, {"deadline", fetch.deadline.value()}, {"for_writing", fetch.for_writing}});
  }
  add("need", actions.need);
  return json;
}

Json ToJson(const Placement& placement) {
  return {{"tensor", placement.tensor.value()},     {"birth_layer", placement.birth.value()},
          {"ordinal", placement.ordinal},           {"bytes", placement.bytes.count()},
          {"region", RegionName(placement.region)}, {"offset", placement.offset}};
}

}  // namespace

std::string PlanToJson(const MigrationPlan& plan) {
  Json json;
  json["version"] = 1;
  json["planner"] = plan.planner;
  json["profile_hash"] = absl::StrFormat("%016x", plan.profile_hash);
  json["sequence_hash"] = absl::StrFormat("%016x", plan.sequence_hash);
  json["budget_bytes"] = plan.budget.count();
  json["granule_bytes"] = plan.granule_bytes.count();
  json["layout_base"] = plan.layout_base;
  json["layout_end"] = plan.layout_end;
  json["short_lived_bytes"] = plan.short_lived_bytes.count();
  json["interval_layers"] = plan.interval_layers;
  if (!plan.waits) json["waits"] = false;
  json["predicted_seconds"] = plan.predicted_seconds;
  json["predicted_exposed_seconds"] = plan.predicted_exposed_seconds;
  json["predicted_in_bytes"] = plan.predicted_in.count();
  json["predicted_out_bytes"] = plan.predicted_out.count();
  json["resident_at_start"] = Ids(plan.resident_at_start);
  json["layers"] = Json::array();
  for (const LayerActions& actions : plan.layers) json["layers"].push_back(ToJson(actions));
  json["placements"] = Json::array();
  for (const Placement& placement : plan.placements) json["placements"].push_back(ToJson(placement));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::Status SavePlan(const MigrationPlan& plan, const std::string& path) {
  return WriteFileAtomically(path, PlanToJson(plan));
}

}  // namespace thermocline::plan

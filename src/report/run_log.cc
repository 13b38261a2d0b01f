#include "src/report/run_log.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "src/base/median.h"
#include "src/trace/compressed_file.h"
#include "src/trace/json_node.h"

namespace thermocline::report {
namespace {

using nlohmann::ordered_json;
using trace::JsonNode;
using trace::JsonObjectReader;
using trace::Presence;

constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

absl::Status ReadStep(const trace::JsonSource& source, const JsonNode& node, int64_t index, RunLog* log) {
  RunStep step;
  JsonObjectReader reader(source, node, absl::StrCat("step ", index));
  reader.Number("seconds", Presence::kRequired, &step.seconds);
  reader.Number("exposed_seconds", Presence::kOptional, &step.exposed_seconds);
  reader.Size("bytes_in", Presence::kOptional, &step.bytes_in);
  reader.Size("bytes_out", Presence::kOptional, &step.bytes_out);
  reader.Integer("demand_fetches", Presence::kOptional, 0, kMaxInt, &step.demand_fetches);
  reader.Boolean("profiled", Presence::kOptional, &step.profiled);
  reader.String("planner", Presence::kOptional, &step.planner);
  reader.Number("predicted_seconds", Presence::kOptional, &step.predicted_seconds);
  reader.Number("predicted_exposed_seconds", Presence::kOptional, &step.predicted_exposed_seconds);
  log->steps.push_back(std::move(step));
  return reader.Finish(nullptr);
}

absl::Status ReadTier(const trace::JsonSource& source, const JsonNode& node, RunLog* log) {
  RunTier tier;
  double in = 0, out = 0;
  JsonObjectReader reader(source, node, absl::StrCat("tier ", log->tiers.size()));
  reader.String("name", Presence::kRequired, &tier.name);
  reader.Number("in_bytes_per_second", Presence::kOptional, &in);
  reader.Number("out_bytes_per_second", Presence::kOptional, &out);
  tier.in = BytesPerSecond(in);
  tier.out = BytesPerSecond(out);
  log->tiers.push_back(std::move(tier));
  return reader.Finish(nullptr);
}

absl::Status ReadLayer(const trace::JsonSource& source, const JsonNode& node, RecordedStep* step) {
  RunLayer layer;
  JsonObjectReader reader(source, node, absl::StrCat("layer ", step->layers.size()));
  reader.String("name", Presence::kOptional, &layer.name);
  reader.Number("start", Presence::kRequired, &layer.start);
  reader.Number("end", Presence::kRequired, &layer.end);
  reader.Number("exposed_seconds", Presence::kOptional, &layer.exposed_seconds);
  reader.Number("predicted_exposed_seconds", Presence::kOptional, &layer.predicted_exposed_seconds);
  reader.Size("fast_bytes", Presence::kOptional, &layer.fast_bytes);
  reader.Size("slow_bytes", Presence::kOptional, &layer.slow_bytes);
  reader.Size("bytes_in", Presence::kOptional, &layer.bytes_in);
  reader.Size("bytes_out", Presence::kOptional, &layer.bytes_out);
  if (reader.ok() && layer.end < layer.start) reader.Refuse(node, "ends before it starts");
  step->layers.push_back(std::move(layer));
  return reader.Finish(nullptr);
}

absl::Status ReadMigration(const trace::JsonSource& source, const JsonNode& node, RecordedStep* step) {
  Migration move;
  int64_t granule = 0, layer = 0;
  std::string direction;
  JsonObjectReader reader(source, node, absl::StrCat("migration ", step->migrations.size()));
  reader.Integer("granule", Presence::kRequired, 0, std::numeric_limits<uint32_t>::max(), &granule);
  reader.String("direction", Presence::kRequired, &direction);
  reader.SignedNumber("issued", Presence::kOptional, &move.issued);
  reader.SignedNumber("start", Presence::kRequired, &move.start);
  reader.SignedNumber("end", Presence::kRequired, &move.end);
  reader.Integer("layer", Presence::kOptional, -1, kMaxInt32, &layer);
  reader.Size("bytes", Presence::kRequired, &move.bytes);
  reader.Boolean("demand", Presence::kOptional, &move.demand);
  if (reader.ok() && direction != "in" && direction != "out") {
    reader.Refuse(node, "has a \"direction\" that is neither \"in\" nor \"out\"");
  }
  if (reader.ok() && move.end < move.start) reader.Refuse(node, "ends before it starts");
  move.granule = GranuleId(static_cast<uint32_t>(granule));
  move.layer = LayerId(static_cast<int32_t>(layer));
  move.direction = direction == "out" ? tier::Direction::kOut : tier::Direction::kIn;
  step->migrations.push_back(move);
  return reader.Finish(nullptr);
}

absl::Status ReadRecorded(const trace::JsonSource& source, const JsonNode& node, RecordedStep* step) {
  JsonObjectReader reader(source, node, "the recorded step");
  reader.Integer("index", Presence::kRequired, 0, kMaxInt, &step->index);
  if (const JsonNode* layers = reader.Member("layers", Presence::kRequired, JsonNode::Kind::kArray)) {
    for (const JsonNode& layer : layers->children) {
      if (absl::Status status = ReadLayer(source, layer, step); !status.ok()) return status;
    }
  }
  if (const JsonNode* moves = reader.Member("migrations", Presence::kRequired, JsonNode::Kind::kArray)) {
    for (const JsonNode& move : moves->children) {
      if (absl::Status status = ReadMigration(source, move, step); !status.ok()) return status;
    }
  }
  return reader.Finish(nullptr);
}

bool Finite(const RunLog& log) {
  const auto finite = [](std::initializer_list<double> numbers) {
    return std::all_of(numbers.begin(), numbers.end(), [](double number) { return std::isfinite(number); });
  };
  return std::all_of(log.tiers.begin(), log.tiers.end(),
                     [&](const RunTier& t) {
                       return finite({t.in.rate(), t.out.rate()});
                     }) &&
         std::all_of(log.steps.begin(), log.steps.end(),
                     [&](const RunStep& s) {
                       return finite({s.seconds, s.exposed_seconds, s.predicted_seconds, s.predicted_exposed_seconds});
                     }) &&
         std::all_of(log.recorded.layers.begin(), log.recorded.layers.end(),
                     [&](const RunLayer& l) {
                       return finite({l.start, l.end, l.exposed_seconds, l.predicted_exposed_seconds});
                     }) &&
         std::all_of(log.recorded.migrations.begin(), log.recorded.migrations.end(), [&](const Migration& m) {
           return finite({m.issued, m.start, m.end});
         });
}

ordered_json ToJson(const RunStep& step) {
  ordered_json json = {{"seconds", step.seconds},
                       {"exposed_seconds", step.exposed_seconds},
                       {"bytes_in", step.bytes_in.count()},
                       {"bytes_out", step.bytes_out.count()},
                       {"demand_fetches", step.demand_fetches}};
  if (step.profiled) json["profiled"] = true;
  if (!step.planner.empty()) json["planner"] = step.planner;
  if (step.predicted_seconds > 0) {
    json["predicted_seconds"] = step.predicted_seconds;
    json["predicted_exposed_seconds"] = step.predicted_exposed_seconds;
  }
  return json;
}

ordered_json ToJson(const RunLayer& layer) {
  ordered_json json = {{"name", layer.name},
                       {"start", layer.start},
                       {"end", layer.end},
                       {"exposed_seconds", layer.exposed_seconds},
                       {"fast_bytes", layer.fast_bytes.count()},
                       {"slow_bytes", layer.slow_bytes.count()},
                       {"bytes_in", layer.bytes_in.count()},
                       {"bytes_out", layer.bytes_out.count()}};
  if (layer.predicted_exposed_seconds >= 0) json["predicted_exposed_seconds"] = layer.predicted_exposed_seconds;
  return json;
}

ordered_json ToJson(const Migration& move) {
  ordered_json json = {{"granule", move.granule.value()},
                       {"direction", move.direction == tier::Direction::kIn ? "in" : "out"},
                       {"issued", move.issued},
                       {"start", move.start},
                       {"end", move.end},
                       {"layer", move.layer.value()},
                       {"bytes", move.bytes.count()}};
  if (move.demand) json["demand"] = true;
  return json;
}

std::string Text(const ordered_json& json) { return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

// One element a line, so that messages about the file can be followed.
template <typename Items>
std::string Lines(const Items& items) {
  std::string out = "[";
  for (const auto& item : items) absl::StrAppend(&out, out.size() > 1 ? ",\n" : "\n", Text(ToJson(item)));
  return out + "]";
}

}  // namespace

absl::StatusOr<RunLog> ParseRunLog(absl::string_view text, absl::string_view name) {
  const trace::JsonSource source{std::string(name), text};
  const trace::JsonParseOptions options{.streamed = {"steps"}};
  RunLog log;
  const auto root = trace::ParseJson(source, options, [&](absl::string_view, int64_t index, const JsonNode& node) {
    return ReadStep(source, node, index, &log);
  });
  if (!root.ok()) return root.status();
  JsonObjectReader reader(source, *root, "the run log");
  int64_t version = 0;
  reader.Integer("run_log_version", Presence::kRequired, 1, 1, &version);
  reader.String("name", Presence::kOptional, &log.name);
  reader.String("program", Presence::kOptional, &log.program);
  reader.String("model", Presence::kOptional, &log.model);
  reader.String("planner", Presence::kOptional, &log.planner);
  reader.Size("budget_bytes", Presence::kOptional, &log.budget);
  reader.Size("peak_bytes", Presence::kOptional, &log.peak_bytes);
  reader.Size("peak_fast_bytes", Presence::kOptional, &log.peak_fast_bytes);
  reader.Size("granule_bytes", Presence::kOptional, &log.granule_bytes);
  reader.Size("written_today_bytes", Presence::kOptional, &log.written_today);
  reader.Size("written_per_day_bytes", Presence::kOptional, &log.written_per_day);
  reader.Member("steps", Presence::kRequired, JsonNode::Kind::kArray);
  if (const JsonNode* tiers = reader.Member("tiers", Presence::kOptional, JsonNode::Kind::kArray)) {
    for (const JsonNode& tier : tiers->children) {
      if (absl::Status status = ReadTier(source, tier, &log); !status.ok()) return status;
    }
  }
  if (const JsonNode* recorded = reader.Member("recorded_step", Presence::kOptional, JsonNode::Kind::kObject)) {
    if (absl::Status status = ReadRecorded(source, *recorded, &log.recorded); !status.ok()) return status;
  }
  if (absl::Status status = reader.Finish(&log.extras); !status.ok()) return status;
  return log;
}

absl::StatusOr<std::string> FormatRunLog(const RunLog& log) {
  if (!Finite(log)) return absl::InvalidArgumentError("the run log holds a time or a rate that is not a number");
  ordered_json tiers = ordered_json::array();
  for (const RunTier& tier : log.tiers) {
    tiers.push_back(
        {{"name", tier.name}, {"in_bytes_per_second", tier.in.rate()}, {"out_bytes_per_second", tier.out.rate()}});
  }
  std::string out =
      absl::StrCat("{\"run_log_version\":1,\n\"name\":", Text(log.name), ",\n\"program\":", Text(log.program),
                   ",\n\"model\":", Text(log.model), ",\n\"planner\":", Text(log.planner));
  absl::StrAppend(&out, ",\n\"budget_bytes\":", log.budget.count(), ",\n\"peak_bytes\":", log.peak_bytes.count(),
                  ",\n\"peak_fast_bytes\":", log.peak_fast_bytes.count(),
                  ",\n\"granule_bytes\":", log.granule_bytes.count(),
                  ",\n\"written_today_bytes\":", log.written_today.count(),
                  ",\n\"written_per_day_bytes\":", log.written_per_day.count(), ",\n\"tiers\":", Text(tiers));
  for (const auto& [name, text] : log.extras) absl::StrAppend(&out, ",\n", Text(name), ":", text);
  absl::StrAppend(&out, ",\n\"steps\":", Lines(log.steps));
  if (log.recorded.index >= 0) {
    absl::StrAppend(&out, ",\n\"recorded_step\":{\"index\":", log.recorded.index,
                    ",\n\"layers\":", Lines(log.recorded.layers), ",\n\"migrations\":", Lines(log.recorded.migrations),
                    "}");
  }
  absl::StrAppend(&out, "}\n");
  return out;
}

absl::StatusOr<RunLog> ReadRunLog(const std::string& path) {
  absl::StatusOr<std::string> text = trace::ReadPackedFile(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<RunLog> log = ParseRunLog(*text, path);
  if (log.ok() && log->name.empty()) {
    absl::string_view name = absl::string_view(path).substr(path.rfind('/') + 1);
    for (const absl::string_view suffix : {".gz", ".zst", ".json", ".runlog"}) name = absl::StripSuffix(name, suffix);
    log->name = std::string(name);
  }
  return log;
}

absl::Status WriteRunLog(const std::string& path, const RunLog& log) {
  absl::StatusOr<std::string> text = FormatRunLog(log);
  if (!text.ok()) return text.status();
  return trace::WritePackedFile(path, *text);
}

StepSummary Summarize(const RunLog& log) {
  std::vector<double> seconds, exposed, in, out;
  for (const RunStep& step : log.steps) {
    if (step.profiled) continue;
    seconds.push_back(step.seconds);
    exposed.push_back(step.exposed_seconds);
    in.push_back(static_cast<double>(step.bytes_in.count()));
    out.push_back(static_cast<double>(step.bytes_out.count()));
  }
  return {Median(std::move(seconds)), Median(std::move(exposed)), Bytes(static_cast<int64_t>(Median(std::move(in)))),
          Bytes(static_cast<int64_t>(Median(std::move(out))))};
}

PredictionSummary SummarizePredictions(const RunLog& log) {
  std::vector<double> seconds, exposed, predicted, predicted_exposed;
  for (const RunStep& step : log.steps) {
    if (step.profiled || step.predicted_seconds <= 0) continue;
    seconds.push_back(step.seconds);
    exposed.push_back(step.exposed_seconds);
    predicted.push_back(step.predicted_seconds);
    predicted_exposed.push_back(step.predicted_exposed_seconds);
  }
  return {std::ssize(seconds), Median(seconds), Median(exposed), Median(predicted), Median(predicted_exposed)};
}

}  // namespace thermocline::report

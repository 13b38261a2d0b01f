#include "src/report/chrome_trace.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/report/lanes.h"

namespace thermocline::report {
namespace {

using nlohmann::ordered_json;

constexpr int kLayerTrack = 1;
constexpr int kFirstInTrack = 1000;  // far enough apart for any number of lanes
constexpr int kFirstOutTrack = 1000000;
constexpr double kMicros = 1e6;

// Collects events as text: a DOM of a long step would take many times its size.
class Events {
 public:
  void Add(const ordered_json& event) {
    absl::StrAppend(&text_, text_.empty() ? "" : ",\n",
                    event.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  }
  void NameTrack(int process, int track, const std::string& name) {
    Add({{"ph", "M"}, {"name", "thread_name"}, {"pid", process}, {"tid", track}, {"args", {{"name", name}}}});
    Add({{"ph", "M"},
         {"name", "thread_sort_index"},
         {"pid", process},
         {"tid", track},
         {"args", {{"sort_index", track}}}});
  }
  void Span(int process, int track, const std::string& name, double start, double end, const ordered_json& args) {
    Add({{"ph", "X"},
         {"name", name},
         {"pid", process},
         {"tid", track},
         {"ts", start * kMicros},
         {"dur", (end - start) * kMicros},
         {"args", args}});
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void AddLayers(const RecordedStep& step, int process, Events* events) {
  events->NameTrack(process, kLayerTrack, "layers");
  for (size_t i = 0; i < step.layers.size(); ++i) {
    const RunLayer& layer = step.layers[i];
    events->Span(process, kLayerTrack, layer.name.empty() ? absl::StrCat("layer ", i) : layer.name, layer.start,
                 layer.end,
                 {{"layer", i},
                  {"exposed_seconds", layer.exposed_seconds},
                  {"bytes_in", layer.bytes_in.count()},
                  {"bytes_out", layer.bytes_out.count()}});
    events->Add({{"ph", "C"},
                 {"name", "bytes"},
                 {"pid", process},
                 {"ts", layer.end * kMicros},
                 {"args", {{"fast", layer.fast_bytes.count()}, {"slow", layer.slow_bytes.count()}}}});
  }
}

void AddMigrations(const RecordedStep& step, int process, Events* events) {
  const Lanes lanes = AssignLanes(step.migrations);
  for (int i = 0; i < lanes.in; ++i) events->NameTrack(process, kFirstInTrack + i, absl::StrCat("in ", i));
  for (int i = 0; i < lanes.out; ++i) events->NameTrack(process, kFirstOutTrack + i, absl::StrCat("out ", i));
  for (size_t i = 0; i < step.migrations.size(); ++i) {
    const Migration& move = step.migrations[i];
    const bool in = move.direction == tier::Direction::kIn;
    events->Span(process, (in ? kFirstInTrack : kFirstOutTrack) + lanes.lane[i],
                 absl::StrCat(in ? (move.demand ? "demand " : "fetch ") : "write back ", move.granule.value()),
                 move.start, move.end,
                 {{"granule", move.granule.value()},
                  {"bytes", move.bytes.count()},
                  {"issued_in_layer", move.layer.value()},
                  {"queued_seconds", move.start - move.issued}});
  }
}

}  // namespace

std::string FormatChromeTrace(absl::Span<const RunLog> logs) {
  Events events;
  for (size_t i = 0; i < logs.size(); ++i) {
    const int process = static_cast<int>(i) + 1;
    events.Add({{"ph", "M"}, {"name", "process_name"}, {"pid", process}, {"args", {{"name", logs[i].name}}}});
    AddLayers(logs[i].recorded, process, &events);
    AddMigrations(logs[i].recorded, process, &events);
  }
  return absl::StrCat("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", events.text(), "\n]}\n");
}

}  // namespace thermocline::report

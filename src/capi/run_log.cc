#include "src/capi/run_log.h"

#include <errno.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "src/report/run_log.h"

namespace thermocline::capi {

namespace {

// The layer that ran then; the first for what was before the step.
LayerId LayerAt(const std::vector<runtime::LayerRecord>& layers, double seconds) {
  const auto after = std::upper_bound(layers.begin(), layers.end(), seconds,
                                      [](double at, const runtime::LayerRecord& layer) { return at < layer.start; });
  return LayerId(static_cast<int32_t>(std::max<std::ptrdiff_t>(after - layers.begin() - 1, 0)));
}

}  // namespace

absl::Status SaveRunLog(runtime::Runtime& runtime, const std::string& path) {
  const runtime::RunRecord record = runtime.Record();
  const runtime::RuntimeStats stats = runtime.Stats();
  const Bytes granule = runtime.settings().granule_bytes;
  report::RunLog log;
  log.program = program_invocation_name;
  log.model = runtime.settings().model;
  log.planner = runtime.settings().planner;
  log.budget = stats.budget;
  log.peak_bytes = stats.allocator.peak_live;
  log.peak_fast_bytes = stats.peak_fast;
  log.granule_bytes = granule;
  log.written_today = stats.tier.written_today;
  log.written_per_day = stats.tier.written_per_day;
  report::RunTier tier{runtime.DescribeTier(), {}, {}};
  if (!runtime.machine().slow.empty()) {
    tier.in = runtime.machine().slow[0].in;
    tier.out = runtime.machine().slow[0].out;
  }
  log.tiers.push_back(tier);
  for (const runtime::StepRecord& step : record.steps) {
    log.steps.push_back({step.seconds, step.exposed_seconds, step.bytes_in, step.bytes_out, step.demand_fetches,
                         step.profiled, step.planner, step.predicted_seconds, step.predicted_exposed_seconds});
  }
  log.recorded.index = record.recorded_step;
  for (const runtime::LayerRecord& layer : record.layers) {
    log.recorded.layers.push_back({layer.name, layer.start, layer.end, layer.exposed_seconds,
                                   layer.predicted_exposed_seconds, layer.fast_bytes, layer.slow_bytes, layer.bytes_in,
                                   layer.bytes_out});
  }
  for (const migrate::MoveRecord& move : record.moves) {
    report::Migration migration;
    migration.granule = move.granule;
    migration.direction = move.direction;
    migration.start = (move.started_nanos - record.recorded_began_nanos) * 1e-9;
    migration.issued = (move.issued_nanos - record.recorded_began_nanos) * 1e-9;
    migration.end = (move.ended_nanos - record.recorded_began_nanos) * 1e-9;
    migration.layer = LayerAt(record.layers, migration.issued);
    migration.bytes = granule;
    migration.demand = move.demanded;
    log.recorded.migrations.push_back(migration);
  }
  return report::WriteRunLog(path, log);
}

void FillStats(runtime::Runtime& runtime, tc_stats* stats) {
  const runtime::RuntimeStats s = runtime.Stats();
  const Bytes granule = runtime.settings().granule_bytes;
  stats->fast_budget_bytes = s.budget.count();
  stats->fast_bytes = s.fast.count();
  stats->peak_fast_bytes = s.peak_fast.count();
  stats->slow_bytes = (granule * s.residency.slots).count();
  stats->live_bytes = s.allocator.live.count();
  stats->peak_live_bytes = s.allocator.peak_live.count();
  stats->bytes_in = s.mover.bytes_in.count();
  stats->bytes_out = s.mover.bytes_out.count();
  stats->exposed_nanos = s.residency.exposed_nanos;
  stats->demand_fetches = s.mover.demand_fetches;
  stats->steps = s.steps;
  stats->matched_allocations = s.matched;
  stats->mismatched_allocations = s.mismatched;
  stats->replans = s.replans;
  stats->io_errors = s.residency.io_errors;
  stats->metadata_bytes = s.metadata.count();
  stats->held_evictions = s.residency.held;
  stats->kernel_faults = s.residency.kernel_faults;
  stats->written_today_bytes = s.tier.written_today.count();
  stats->written_per_day_bytes = s.tier.written_per_day.count();
}

}  // namespace thermocline::capi

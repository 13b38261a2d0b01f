#include "src/plan/rebase.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"

namespace thermocline::plan {
namespace {

// Where the layout begins: what lies below, and no granule of it, is fixed.
int64_t FirstLaidOut(const MigrationPlan& plan) {
  int64_t first = plan.layout_end;
  for (const Placement& placement : plan.placements) {
    if (placement.region != Region::kFixed) first = std::min(first, placement.offset);
  }
  return RoundDown(Bytes(first), plan.granule_bytes).count();
}

// A granule's new number. None: it is none of this arena's any more.
class GranuleMove {
 public:
  GranuleMove(int64_t first, int64_t begin, const MigrationPlan& plan)
      : first_(first / plan.granule_bytes.count()),
        begin_(begin / plan.granule_bytes.count()),
        end_(RoundUp(Bytes(plan.layout_end), plan.granule_bytes) / plan.granule_bytes) {}

  std::optional<GranuleId> operator()(GranuleId id) const {
    const int64_t granule = id.value();
    if (granule >= end_ || (granule < first_ && granule >= begin_)) return std::nullopt;
    return GranuleId(static_cast<uint32_t>(granule < first_ ? granule : granule - first_ + begin_));
  }

  // `list`: of granules, or of fetches.
  template <typename T>
  void Apply(std::vector<T>* list) const {
    size_t kept = 0;
    for (T item : *list) {
      const std::optional<GranuleId> moved = (*this)(IdOf(item));
      if (!moved.has_value()) continue;
      IdOf(item) = *moved;
      (*list)[kept++] = item;
    }
    list->resize(kept);
  }

 private:
  static GranuleId& IdOf(GranuleId& id) { return id; }
  static GranuleId& IdOf(Fetch& fetch) { return fetch.granule; }

  int64_t first_, begin_, end_;
};

}  // namespace

absl::Status Rebase(int64_t begin, int64_t end, MigrationPlan* plan) {
  const int64_t first = FirstLaidOut(*plan);
  const int64_t size = plan->layout_end - first;
  if (size > end - begin) {
    return absl::InvalidArgumentError(absl::StrCat("the plan's tensors take ", FormatBytes(Bytes(size)),
                                                   " of addresses, and there are ", FormatBytes(Bytes(end - begin)),
                                                   ": it was made for a machine with more memory. Make it anew here"));
  }
  const GranuleMove move(first, begin, *plan);
  for (LayerActions& actions : plan->layers) {
    for (std::vector<GranuleId>* list : {&actions.release, &actions.write_back, &actions.provide, &actions.need}) {
      move.Apply(list);
    }
    move.Apply(&actions.fetch);
  }
  move.Apply(&plan->resident_at_start);
  for (Placement& placement : plan->placements) {
    if (placement.region != Region::kFixed) placement.offset += begin - first;
  }
  plan->layout_base = begin;
  plan->layout_end = begin + size;
  return absl::OkStatus();
}

}  // namespace thermocline::plan

// The names of regions in files and reports.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_PLAN_REGION_NAMES_H_
#define THERMOCLINE_PLAN_REGION_NAMES_H_

#include <optional>

#include "absl/strings/string_view.h"
#include "src/plan/migration_plan.h"

namespace thermocline::plan {

inline const char* RegionName(Region region) {
  switch (region) {
    case Region::kShortLived:
      return "short_lived";
    case Region::kMigratable:
      return "migratable";
    case Region::kFixed:
      return "fixed";
  }
  return "unknown";
}

inline std::optional<Region> RegionNamed(absl::string_view name) {
  for (const Region region : {Region::kShortLived, Region::kMigratable, Region::kFixed}) {
    if (name == RegionName(region)) return region;
  }
  return std::nullopt;
}

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_REGION_NAMES_H_

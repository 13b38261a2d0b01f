#include "src/report/lanes.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

namespace thermocline::report {
namespace {

// The lanes of one direction. A lane is reused from the moment at which its last bar ends; the lowest free one is
// taken.
class Direction {
 public:
  int Take(double start, double end) {
    while (!busy_.empty() && busy_.top().first <= start) {
      free_.insert(busy_.top().second);
      busy_.pop();
    }
    int lane = count_;
    if (free_.empty()) {
      ++count_;
    } else {
      lane = *free_.begin();
      free_.erase(free_.begin());
    }
    busy_.push({end, lane});
    return lane;
  }
  int count() const { return count_; }

 private:
  using Busy = std::pair<double, int>;  // until when, which lane
  std::priority_queue<Busy, std::vector<Busy>, std::greater<>> busy_;
  std::set<int> free_;
  int count_ = 0;
};

}  // namespace

Lanes AssignLanes(const std::vector<Migration>& migrations) {
  std::vector<size_t> order(migrations.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return migrations[a].start < migrations[b].start; });
  Direction in, out;
  Lanes lanes;
  lanes.lane.resize(migrations.size());
  for (const size_t i : order) {
    Direction& direction = migrations[i].direction == tier::Direction::kIn ? in : out;
    lanes.lane[i] = direction.Take(migrations[i].start, migrations[i].end);
  }
  lanes.in = in.count();
  lanes.out = out.count();
  return lanes;
}

}  // namespace thermocline::report

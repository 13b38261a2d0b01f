// The median of some values: of an even number the mean of the two in the middle, of none 0.
//
// Thread safety: pure function.
#ifndef THERMOCLINE_BASE_MEDIAN_H_
#define THERMOCLINE_BASE_MEDIAN_H_

#include <algorithm>
#include <vector>

namespace thermocline {

inline double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_MEDIAN_H_

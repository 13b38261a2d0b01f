// kShortestLayer: the least time, in seconds, that a layer is taken to have. What is taken off what was measured, for
// waits of several threads or for touches that were counted, may leave less than nothing.
#ifndef THERMOCLINE_RUNTIME_SHORTEST_LAYER_H_
#define THERMOCLINE_RUNTIME_SHORTEST_LAYER_H_

namespace thermocline::runtime {

inline constexpr double kShortestLayer = 1e-7;

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_SHORTEST_LAYER_H_

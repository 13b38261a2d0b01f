#!/usr/bin/env bash
# The preset dev builds, and what an optimiser could hide holds without one: the frames of the fault handler.
#   dev_test.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
# In a build folder of its own: who uses the preset has other targets in the usual one.
cd "$1"
# Only in CI does a warning of some other compiler stop anybody.
strict=()
[ -n "${CI:-}" ] || strict=(-DTHERMOCLINE_WERROR=OFF)
cmake --preset dev -B "$2" -DTHERMOCLINE_TORCH_DIR= -DTHERMOCLINE_BUILD_BENCHMARKS=OFF "${strict[@]}" >/dev/null
cmake --build "$2" --target fault_signal_test displaced_handler_test
grep -q 'CMAKE_CXX_FLAGS_DEBUG:STRING=-Og -g' "$2/CMakeCache.txt" || { echo "FAILED: it is another preset" >&2; exit 1; }
"$2/tests/fault_signal_test"
"$2/tests/displaced_handler_test"

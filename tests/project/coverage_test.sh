#!/usr/bin/env bash
# The preset coverage builds, and gcov tells which lines a test has reached and which it has not.
#   coverage_test.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source_dir=$1 build=$2
# In a build folder of its own: who uses the preset has the figures in the usual one.
cd "$source_dir"
cmake --preset coverage -B "$build" -DTHERMOCLINE_TORCH_DIR= -DTHERMOCLINE_BUILD_BENCHMARKS=OFF >/dev/null
cmake --build "$build" --target parse_units_test
find "$build" -name '*.gcda' -delete
"$build/tests/parse_units_test"

cd "$build/src/base/CMakeFiles/thermocline_base.dir"
reached() {
  gcov --no-output "$1.cc.gcda" | awk -v "file=/src/base/$1.cc'" \
    'index($0, file) {found = 1} found && /^Lines executed/ {sub(/.*:/, ""); print int($1); exit}'
}
units=$(reached parse_units) files=0
[ ! -e atomic_file.cc.gcda ] || files=$(reached atomic_file)
echo "parse_units_test reaches $units% of the lines of parse_units.cc, and $files% of those of atomic_file.cc"
[ "${units:-0}" -ge 80 ] && [ "$units" -le 100 ] || { echo "FAILED: of parse_units.cc it reaches 80% and more" >&2; exit 1; }
[ "$files" = 0 ] || { echo "FAILED: of atomic_file.cc it reaches nothing" >&2; exit 1; }

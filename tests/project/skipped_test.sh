#!/usr/bin/env bash
# CTest says "Skipped" of a program whose every test was skipped and of no other; the list that scripts/test prints has
# each reason once.
#   skipped_test.sh SOURCE_DIR
set -euo pipefail
source_dir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
expect() {
  local what=$1
  shift
  if "$@"; then echo "ok: $what"; else
    echo "FAILED: $what ($*)" >&2
    sed 's/^/    /' "$work/output" "$work/list" >&2 || true
    failures=$((failures + 1))
  fi
}

# What GoogleTest prints of one test that is skipped.
one() { printf '[ RUN      ] %s\n/a/b.cc:3: Skipped\nneeds a %s\n\n[  SKIPPED ] %s (0 ms)\n' "$1" "$2" "$1"; }
{
  one S.First moon
  one S.Second moon
  printf '[  PASSED  ] 0 tests.\n[  SKIPPED ] 2 tests, listed below:\n[  SKIPPED ] S.First\n[  SKIPPED ] S.Second\n'
} >"$work/whole"
{
  one S.First sun
  printf '[  PASSED  ] 1 test.\n[  SKIPPED ] 1 test, listed below:\n[  SKIPPED ] S.First\n'
} >"$work/part"
{
  one S.First moon
  printf '[  PASSED  ] 0 tests.\n[  SKIPPED ] 1 test, listed below:\n[  SKIPPED ] S.First\n'
  printf '[  FAILED  ] 1 test, listed below:\n[  FAILED  ] S.Second\n\n 1 FAILED TEST\n'
} >"$work/failed"
cat >"$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(skips NONE)
enable_testing()
include($source_dir/cmake/ThermoclineSkips.cmake)
add_test(NAME whole COMMAND cat $work/whole)
add_test(NAME part COMMAND cat $work/part)
add_test(NAME failed COMMAND sh -c "cat $work/failed; exit 1")
set_tests_properties(whole part failed PROPERTIES SKIP_REGULAR_EXPRESSION "\${THERMOCLINE_ALL_SKIPPED}")
thermocline_missing_test(absent "needs a third hand")
add_test(NAME script COMMAND sh -c "echo 'setpriv: no' >&2; echo 'Skipped: needs a fourth hand'")
set_tests_properties(script PROPERTIES SKIP_REGULAR_EXPRESSION "\${THERMOCLINE_SCRIPT_SKIPPED}")
END
# Ninja, as the project itself.
cmake -G Ninja -S "$work" -B "$work/build" >"$work/output" 2>&1 || { cat "$work/output" >&2; exit 1; }
ctest --test-dir "$work/build" >"$work/output" 2>&1 || true
awk -f "$source_dir/scripts/lib/skipped.awk" "$work/build/Testing/Temporary/LastTest.log" >"$work/list"

expect "a program that skipped everything is skipped" grep -q 'whole \.*\*\*\*Skipped' "$work/output"
expect "one that skipped a part has passed" grep -q 'part \.* *Passed' "$work/output"
expect "one that failed has failed, whatever it skipped" grep -q 'failed \.*\*\*\*Failed' "$work/output"
expect "what can't be built is skipped" grep -q 'absent \.*\*\*\*Skipped' "$work/output"
expect "a script that says so after something else is skipped" grep -q 'script \.*\*\*\*Skipped' "$work/output"
expect "each reason is listed once" [ "$(wc -l <"$work/list")" = 4 ]
expect "... with the programs" grep -q '^    needs a moon: whole, failed (3 of the tests)$' "$work/list"
expect "... of which a part was skipped" grep -q '^    needs a sun: part (1 of the tests)$' "$work/list"
expect "... or that are missing" grep -q '^    needs a third hand: absent$' "$work/list"
[ "$failures" = 0 ] || exit 1

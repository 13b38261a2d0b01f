#!/usr/bin/env bash
# libthermocline.so exports exactly the functions that thermocline.h declares and, where it stands in front of the C
# library, the calls that are defined in CALLS_DIR; the preload library exports all of these, those that it defines
# itself, and nothing else. libthermocline.so carries in its name the version whose C API it has: before 1.0 the minor one.
# It needs the libraries that docs/dependencies.md names, and no other.
#   exports_test.sh LIBRARY VERSION HEADER [CALLS_DIR PRELOAD_LIBRARY]
set -euo pipefail
library=$1
version=$2
header=$3
calls_dir=${4:-}
preload=${5:-}
status=0
fail() {
  echo "exports_test: $*" >&2
  status=1
}
exports() { nm -D --defined-only "$1" | awk '{print $3}' | sed 's/@.*//' | sort -u; }
interposed_in() {
  grep -ho '^THERMOCLINE_INTERPOSED [^(]*(' "$1"/*.cc | sed 's/($//; s/.*[ *]//' | sort -u
}

declared=$(grep -o '^TC_EXPORT .*' "$header" | grep -o 'TC_SYMBOL([a-z_]*' | sed 's/TC_SYMBOL(/thermocline_/' | sort -u)
[ -n "$declared" ] || fail "found no TC_EXPORT function in $header"
interposed=
if [ -n "$calls_dir" ]; then
  interposed=$(interposed_in "$calls_dir")
  [ -n "$interposed" ] || fail "found no THERMOCLINE_INTERPOSED function in $calls_dir"
fi
expected=$(printf '%s\n' "$declared" "$interposed" | sed '/^$/d' | sort -u)

exported=$(exports "$library")
for name in $(comm -23 <(echo "$exported") <(echo "$expected")); do
  fail "$library exports $name, which neither $header nor ${calls_dir:-a call} has; is it missing from cmake/thermocline.map, or from the header?"
done
for name in $(comm -13 <(echo "$exported") <(echo "$expected")); do
  fail "$library does not export $name, which ${header##*/} or ${calls_dir:-a call} has; is it missing from cmake/thermocline.map?"
done
if [ -n "$preload" ]; then
  preload_dir=$(dirname "$calls_dir")/preload
  expected_preload=$(printf '%s\n' "$expected" "$(interposed_in "$preload_dir")" | sort -u)
  for name in $(comm -13 <(exports "$preload") <(echo "$expected_preload")); do
    fail "$preload does not export $name; is it missing from src/adapters/preload/preload.map?"
  done
  for name in $(comm -23 <(exports "$preload") <(echo "$expected_preload")); do
    fail "$preload exports $name, and so takes it from every program that it is loaded into"
  done
fi

soname=$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
case $version in
  0.*) expected_soname=libthermocline.so.${version%.*} ;;
  *) expected_soname=libthermocline.so.${version%%.*} ;;
esac
[ "$soname" = "$expected_soname" ] || fail "the SONAME is '$soname', not $expected_soname"
# shellcheck disable=SC2016  # Markdown's backticks
documented=$(sed -n 's/^At run time `libthermocline.so` needs //p' "$(dirname "$header")/../../docs/dependencies.md" |
  grep -o '`lib[a-z]*`' | tr -d '`' | sort -u)
needed=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\.so.*/\1/p' | sed 's/_.*//' |
  grep -v -x -e 'libstdc++' -e libc -e libm -e libgcc -e ld-linux-x86-64 -e 'lib[a-z]*san' -e libpthread -e libdl | sort -u)
[ "$documented" = "$needed" ] ||
  fail "$library needs ${needed//$'\n'/, }; docs/dependencies.md says ${documented//$'\n'/, }"
[ "$status" = 0 ] && echo "exports_test: $(echo "$expected" | wc -l) functions, each declared and exported"
exit "$status"

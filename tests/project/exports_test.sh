#!/usr/bin/env bash
# libthermocline.so exports exactly the functions that thermocline.h declares, and carries a version in its name.
#   exports_test.sh LIBRARY HEADER
set -euo pipefail
library=$1
header=$2
status=0
fail() {
  echo "exports_test: $*" >&2
  status=1
}

exported=$(nm -D --defined-only "$library" | awk '{print $3}' | sed 's/@.*//' | sort -u)
declared=$(grep -o '^TC_EXPORT .*' "$header" | grep -o 'tc_[a-z_]*(' | tr -d '(' | sort -u)
[ -n "$declared" ] || fail "found no TC_EXPORT function in $header"

for name in $(comm -23 <(echo "$exported") <(echo "$declared")); do
  fail "$library exports $name, which $header does not declare; is it missing from cmake/thermocline.map, or from the header?"
done
for name in $(comm -13 <(echo "$exported") <(echo "$declared")); do
  fail "$header declares $name, which $library does not export"
done

soname=$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ "$soname" = libthermocline.so.0 ] || fail "the SONAME is '$soname', not libthermocline.so.0"
[ "$status" = 0 ] && echo "exports_test: $(echo "$declared" | wc -l) functions, each declared and exported"
exit "$status"

#!/usr/bin/env bash
# libthermocline_torch.so exports exactly the functions that torch.h declares.
#   torch_exports_test.sh LIBRARY HEADER
set -euo pipefail
library=$1
header=$2
status=0
declared=$(sed -n 's/^TC_EXPORT .* \([A-Za-z]*\)(.*/thermocline::torch::\1/p' "$header" | sort -u)
exported=$(nm -DC --defined-only "$library" | cut -d ' ' -f 3- | sed 's/(.*//' | sort -u)
while read -r name; do
  echo "torch_exports_test: $library exports $name, which $header does not have; is src/adapters/torch/torch.map in use?" >&2
  status=1
done < <(comm -13 <(echo "$declared") <(echo "$exported"))
while read -r name; do
  echo "torch_exports_test: $library does not export $name; is it missing from src/adapters/torch/torch.map?" >&2
  status=1
done < <(comm -23 <(echo "$declared") <(echo "$exported"))
[ -n "$declared" ] || { echo "torch_exports_test: found no TC_EXPORT function in $header" >&2; status=1; }
[ "$status" = 0 ] && echo "torch_exports_test: $(echo "$declared" | wc -l) functions, each declared and exported"
exit "$status"

#!/usr/bin/env bash
# An unmodified PyTorch script prints the same losses under `thermocline run`, in less fast memory than its tensors need.
#   same_losses.sh THERMOCLINE PYTHON FAST SCRIPT [ARGUMENT...]
set -euo pipefail
thermocline=$1 python=$2 fast=$3
shift 3
if ! "$python" -c 'import torch' 2>/dev/null; then
  echo "Skipped: needs a Python that imports torch (scripts/deps test)"
  exit 0
fi
log=$(mktemp)
stats=$(mktemp)
trap 'rm -f "$log" "$stats"' EXIT
fail() {
  echo "FAILED: $*" >&2
  cat "$log" >&2
  exit 1
}
losses() { sed -n 's/^step \([0-9]*\): loss \([^ ]*\) .*/\1 \2/p'; }
plain=$("$python" "$@" | losses)
placed=$("$thermocline" run --fast "$fast" --stats "$stats" -- "$python" "$@" 2>"$log" | losses) || fail "it ended with $?"
cat "$log"
[ "$(wc -l <<<"$plain")" -ge 3 ] || fail "the script printed too few losses: $plain"
[ "$plain" = "$placed" ] || fail "losses differ with placement: $plain, and $placed"
grep -q '"bytes_in": [1-9]' "$stats" || fail "nothing moved, so nothing was tested: $(cat "$stats")"
echo "the same losses with $fast of fast memory: ${plain//$'\n'/, }"

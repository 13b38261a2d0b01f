#!/usr/bin/env bash
# Trains once on the stock allocator and once in a third of the memory that this took: the same losses, bit for bit, while
# data moved and the budget held.
#   same_losses.sh PROGRAM [ARGUMENT...]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "FAILED: $*" >&2
  cat "$work"/*.log >&2
  exit 1
}
# "name": number or "name": "text", one a line.
values() { grep -o "\"$1\": \"\\?[^,\"}]*" "$2" | sed 's/.*: "\?//'; }
largest() { values "$1" "$2" | sort -n | tail -1; }

"$@" --allocator stock --json "$work/stock.json" 2>"$work/stock.log" || fail "the stock run ended with $?"
peak=$(largest peak_bytes "$work/stock.json")
budget=$((peak / 3))
"$@" --fast "$budget" --slow emulated:in=2GB/s,out=2GB/s --json "$work/placed.json" 2>"$work/placed.log" ||
  fail "the run in $budget bytes ended with $?"
stock=$(values loss_hex "$work/stock.json")
placed=$(values loss_hex "$work/placed.json")
[ "$(wc -l <<<"$stock")" -ge 3 ] || fail "too few steps: $stock"
[ "$stock" = "$placed" ] || fail "other losses: $stock and $placed"
[ "$(largest bytes_in "$work/placed.json")" -gt 0 ] || fail "nothing moved, so nothing was tested"
[ "$(largest peak_fast_bytes "$work/placed.json")" -le "$budget" ] || fail "more fast memory than $budget bytes"
echo "the same losses in $budget of $peak bytes: ${stock//$'\n'/, }"

#!/usr/bin/env bash
# Who has no privilege gets the demo's whole table but for the swap row, and is told why that one is missing.
#   demo_user_test.sh SOURCE_DIR DEMO_TABLE
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/demo_checkout.sh"
make_checkout "$1" "$2" user
[ -x /usr/bin/python3 ] || skip "Python (scripts/deps test)"

status=0
PATH="$work/bin:$PATH" "${as[@]}" "$work/scripts/demo" --quick --slow "file:$slow" --steps 1 \
  >"$work/output" 2>&1 </dev/null || status=$?
cat "$work/output"
[ "$status" = 0 ] || { echo "FAILED: it ended with $status" >&2; exit 1; }
[ -s "$work/build/demo/report.html" ] || { echo "FAILED: there is no report.html" >&2; exit 1; }
/usr/bin/python3 - "$work/build/demo/result.json" <<'END'
import json
import sys

result = json.load(open(sys.argv[1], encoding="utf-8"))
runs = {run["name"]: run for run in result["runs"]}
placed = ["thermocline-100", "thermocline-50", "thermocline-20", "lru-20"]
assert list(runs) == ["glibc", "tcmalloc", "jemalloc", "mimalloc", *placed], f"the rows are {list(runs)}"
for name, run in runs.items():
    assert len(run["losses"]) >= 3 and run["losses"] == runs["glibc"]["losses"], f"the losses of {name}: {run['losses']}"
    assert run["peak_fast_bytes"] > 0 and run["seconds_per_step_median"] > 0, f"{name} was not measured: {run}"
for name in placed:
    assert runs[name]["within_budget"], f"{name} took more than its budget: {runs[name]}"
assert runs["thermocline-20"]["bytes_in_per_step"] > 0, f"nothing moved: {runs['thermocline-20']}"
skipped = {row["name"]: row["reason"] for row in result["skipped"]}
assert list(skipped) == ["swap-20"], f"skipped are {skipped}"
# Who runs this as an ordinary user may have been given cgroups, and no right to swap areas.
assert any(why in skipped["swap-20"] for why in ("may not be made by this user", "swapon", "no cgroup")), skipped
print("ok: eight rows with equal losses; the swap row is missing since", skipped["swap-20"])
END

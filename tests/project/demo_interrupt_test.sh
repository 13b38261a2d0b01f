#!/usr/bin/env bash
# After Ctrl-C, SIGTERM, or a kill -9 and its --restore, swap, cgroups and settings are as before the demo, and nothing of
# it is left: no process, no file. With the real table and the small net; root sees the swap row being undone.
#   demo_interrupt_test.sh SOURCE_DIR DEMO_TABLE [root]
# With "root" everything runs as root, and the interruptions come while the swap area is on; otherwise as the user that
# runs it, or as nobody.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/demo_checkout.sh"
make_checkout "$1" "$2" "${3:-user}"

# The demo's groups below a folder, at any depth: they lie below the group of whoever runs it.
groups_below() { find "$1" -type d -name 'thermocline-demo-*' 2>/dev/null | sort || true; }
# The trees of groups that are mounted here.
cgroup_mounts() { awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/self/mounts | sort -u; }
# What must be as it was, in a form that can be compared.
state() {
  echo "swap:" && cut -d' ' -f1 /proc/swaps | sort
  echo "cgroups:" && cgroup_mounts | while read -r mount; do groups_below "$mount"; done
  echo "settings:" && cat /proc/sys/vm/swappiness /proc/sys/vm/overcommit_memory /proc/sys/vm/max_map_count \
    /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null
  echo "files:" && find "$slow" /var/tmp -maxdepth 1 -name 'thermocline-demo-swap*' 2>/dev/null | sort
}
failures=0
fail() {
  echo "FAILED: $*" >&2
  sed 's/^/    /' "$work/output" >&2
  failures=$((failures + 1))
}
# Waits until the command succeeds, as long as the demo lives.
await() {
  local tries
  for tries in $(seq 600); do
    if "$@"; then return 0; fi
    kill -0 "$demo" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}
swap_is_on() { grep -q "^$slow/thermocline-demo-swap" /proc/swaps; }
trains() { grep -qs ' step ' "$work/output"; }
# No process of the demo's group is left, within a moment.
all_gone() {
  local tries
  for tries in $(seq 50); do
    kill -0 -- "-$group" 2>/dev/null || return 0
    sleep 0.1
  done
  return 1
}

# A group that is left is found, however deep it lies: in a folder, and as root among the machine's own groups.
check_depths() {
  local top=$1 parent=$1 left depth
  for depth in 1 2 3 4 5 6 7 8; do
    left=$parent/thermocline-demo-$$-left
    mkdir "$left"
    grep -qxF "$left" <<<"$(groups_below "$top")" || fail "a group that was left $depth deep in $top is not found"
    rmdir "$left"
    parent=$parent/thermocline-test-$$
    mkdir "$parent"
  done
  while [ "$parent" != "$top" ]; do
    rmdir "$parent"
    parent=$(dirname "$parent")
  done
  [ "$failures" != 0 ] || echo "ok: groups are found at every depth below $top"
}
mkdir "$work/groups"
: >"$work/output"
check_depths "$work/groups"
if [ "$who" = root ]; then
  for mount in $(cgroup_mounts); do
    [ -w "$mount" ] || continue
    check_depths "$mount"
    break
  done
fi

# A group of its own with default signals, as a terminal gives a command.
set -m
before=$(state)
interrupt() {
  local signal=$1 expected=$2 target status=0
  # As root the swap row alone is wanted beside those that it needs; it comes last.
  PATH="$work/bin:$PATH" "${as[@]}" "$work/scripts/demo" --quick --slow "file:$slow" --only swap-20 --steps 1 \
    >"$work/output" 2>&1 </dev/null &
  demo=$! group=$!
  if [ "$who" = root ]; then
    await swap_is_on || { fail "SIG$signal: the swap row was never reached"; return; }
  else
    await trains || { fail "SIG$signal: it never trained a step"; return; }
  fi
  # Ctrl-C goes to the whole group, kill to the process that was named.
  target=$demo
  [ "$signal" != INT ] || target=-$group
  if [ "$signal" = KILL ]; then target=-$group; fi
  kill "-$signal" -- "$target"
  wait "$demo" || status=$?
  [ "$status" = "$expected" ] || fail "SIG$signal: it ended with $status, not $expected"
  all_gone || fail "SIG$signal: processes are left: $(pgrep -g "$group" -a)"
  if [ "$signal" = KILL ] && [ -e "$work/build/demo/undo" ]; then
    "${as[@]}" "$table" --out "$work/build/demo" --restore >>"$work/output" 2>&1 || fail "--restore ended with $?"
  fi
  [ ! -e "$work/build/demo/undo" ] || fail "SIG$signal: its journal is left"
  [ "$(state)" = "$before" ] || fail "SIG$signal: the machine is not as before: $(diff <(echo "$before") <(state))"
  echo "ok: after SIG$signal as $who"
}
interrupt INT 130
interrupt TERM 143
interrupt KILL 137
[ "$failures" = 0 ] || exit 1

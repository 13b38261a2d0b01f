# shellcheck shell=bash disable=SC2034
# What the scripts share. Sourced, never run. Needs bash and coreutils only.

# The top of the checkout, wherever the caller stands.
repo_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
script_name=scripts/${0##*/}

say() { printf '==> %s\n' "$*"; }
warn() { printf '%s: %s\n' "$script_name" "$*" >&2; }
die() {
  warn "$*"
  exit 1
}
# A mistake in the command line: says what, points at --help, exits 2.
usage_error() {
  warn "$*"
  warn "see $script_name --help"
  exit 2
}
# After Ctrl-C, rather than to blame the build or to try the next download. Said once, by the script that was called.
export thermocline_outer_script=${thermocline_outer_script:-$$}
interrupted() {
  if [ "$thermocline_outer_script" = $$ ]; then
    echo >&2
    warn "interrupted; what is installed and built so far is kept"
  fi
  exit 130
}
trap interrupted INT
# Prints the comment block at the head of the calling script.
print_help() { awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "$0"; }

# "3 min 7 s" for a number of seconds.
minutes() {
  if [ "$1" -ge 60 ]; then printf '%d min %d s' $(($1 / 60)) $(($1 % 60)); else printf '%d s' "$1"; fi
}

# Options for cmake: in CI a warning is an error; elsewhere a compiler that warns of more stops nobody.
strict=()
if [ -n "${CI:-}" ]; then strict=(-DTHERMOCLINE_WERROR=ON); fi

# list_skipped BUILD: the tests that the last ctest in that folder skipped, with what they need; false when none was.
list_skipped() {
  local skipped
  skipped=$(awk -f "$repo_root/scripts/lib/skipped.awk" "$1/Testing/Temporary/LastTest.log")
  [ -n "$skipped" ] || return 1
  say "Skipped, each with what it needs:"
  printf '%s\n' "$skipped"
}

# shellcheck shell=bash
# What the tests of scripts/demo share. Sourced, never run.

skip() {
  echo "Skipped: needs $*"
  exit 0
}

# make_checkout SOURCE_DIR DEMO_TABLE WHO: scripts/demo as it is, in a checkout where everything is installed and built
# already; "${as[@]}" in front of a command runs it as WHO: root, or user, the one that runs the test or else nobody. A
# process group in $group is killed at the end.
make_checkout() {
  local source_dir=$1 program
  table=$2 who=$3 as=() group=
  if [ "$who" = root ]; then
    [ "$(id -u)" = 0 ] || skip "root, which may make swap areas and cgroups"
  elif [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    "${as[@]}" test -x "$table" 2>/dev/null || skip "a build folder that the user nobody may read, or a user other than root"
  fi
  [ -n "$(dpkg-query -W -f '${Version}' dataset-fashion-mnist 2>/dev/null)" ] ||
    skip "the Debian package dataset-fashion-mnist (scripts/deps demo)"

  work=$(mktemp -d /var/tmp/thermocline-demo-test-XXXXXX)
  slow=$work/slow
  trap remove_checkout EXIT
  mkdir "$slow" "$work/build" "$work/scripts" "$work/bin" "$work/build/bin"
  cp -r "$source_dir"/scripts/lib "$source_dir"/scripts/demo "$work/scripts/"
  printf '#!/bin/sh\necho none\n' >"$work/scripts/deps"
  printf '#!/bin/sh\nexit 0\n' >"$work/bin/cmake"
  chmod +x "$work/scripts/deps" "$work/bin/cmake"
  for program in "$(dirname "$table")"/*; do ln -s "$program" "$work/build/bin/"; done
  [ ${#as[@]} = 0 ] || chown -R 65534:65534 "$work"
}
remove_checkout() {
  [ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null || true
  wait 2>/dev/null || true
  [ ! -e "$work/build/demo/undo" ] || "$table" --out "$work/build/demo" --restore || true
  rm -rf "$work"
}

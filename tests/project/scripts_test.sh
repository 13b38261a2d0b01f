#!/usr/bin/env bash
# The scripts' manners: help, wrong usage, and what scripts/deps does as whom. Installs nothing: apt-get, dpkg-query,
# sudo, id and cmake are fakes that write down how they were called.
#   scripts_test.sh SOURCE_DIR
set -euo pipefail
source_dir=$1
# Run by scripts/test, this would otherwise take itself for one of its inner scripts.
unset thermocline_outer_script
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
expect() {
  local what=$1
  shift
  if "$@"; then echo "ok: $what"; else
    echo "FAILED: $what ($*)" >&2
    [ ! -s "$work/output" ] || sed 's/^/    /' "$work/output" >&2
    failures=$((failures + 1))
  fi
}
# Runs a command from another folder; its status is in $status, what it said in $work/output.
try() {
  status=0
  (cd "$work" && "$@") >"$work/output" 2>&1 </dev/null || status=$?
}
said() { grep -q -e "$1" "$work/output"; }
unsaid() { ! said "$1"; }
called() { grep -q -e "$1" "$work/calls"; }
uncalled() { ! called "$1"; }

for script in "$source_dir"/scripts/*; do
  if [ ! -f "$script" ] || [ ! -x "$script" ]; then continue; fi
  name=scripts/${script##*/}
  try "$script" --help
  expect "$name --help says how to use it" [ "$status" = 0 ]
  expect "$name --help names the script" said "$name"
  try "$script" --no-such-flag
  expect "$name refuses a flag that it does not know, as wrong usage" [ "$status" = 2 ]
  expect "$name says which flag that was" said "--no-such-flag"
done

# A machine with nothing on it but a shell and the fakes; $1 is the user's number, the rest are fakes to add.
machine() {
  rm -rf "${work:?}/bin"
  mkdir "$work/bin"
  : >"$work/calls"
  local tool
  for tool in bash dirname awk env grep sort head printf cat; do ln -s "$(command -v "$tool")" "$work/bin/$tool"; done
  fake dpkg-query 'exit 1'
  fake id "echo $1"
  fake apt-get ':'
  fake cmake "echo cmake version ${cmake_version:-3.25.1}"
}
fake() {
  printf '#!%s\necho "%s $*" >>%q\n%s\n' "$(command -v bash)" "$1" "$work/calls" "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}
deps() { try env PATH="$work/bin" "$source_dir/scripts/deps" "$@"; }

machine 1000
deps build
expect "without root and sudo, deps fails" [ "$status" = 1 ]
expect "... and prints the command to run" said 'apt-get install -y .*g++ .*libabsl-dev'
expect "... and runs no apt-get" uncalled '^apt-get'

machine 1000
# shellcheck disable=SC2016  # the fake expands it
fake sudo 'exec "$@"'
deps build
expect "as a user with sudo, deps installs" [ "$status" = 0 ]
expect "... through sudo" called '^sudo .*apt-get.*install -y .*libhwloc-dev'

machine 1000
fake sudo 'exit 1'
deps build
expect "when sudo refuses, deps fails" [ "$status" = 1 ]
expect "... and prints the command to run" said 'apt-get install -y .*g++ .*libabsl-dev'
expect "... and blames no network" unsaid 'network'

machine 0
deps build
expect "as root, deps installs" [ "$status" = 0 ]
expect "... after reading the package lists" called '^apt-get .*update'
expect "... without asking anything" called '^apt-get .*install -y .*liburing-dev'
expect "... and with what the Makefile's short names need" called '^apt-get .*install -y .* make '

machine 0
fake dpkg-query 'printf installed'
deps build demo vm
expect "with all there, deps succeeds" [ "$status" = 0 ]
expect "... and says nothing" [ ! -s "$work/output" ]
expect "... and needs no network" uncalled '^apt-get'

machine 0
fake apt-get 'exit 100'
deps build
expect "when apt-get fails, so does deps" [ "$status" = 1 ]
expect "... and asks whether there is a network" said 's there a network?'
# Without a network apt-get update only warns.
machine 0
fake apt-get 'case "$*" in *update*) exit 0 ;; *) exit 100 ;; esac'
deps build
expect "... also when only the installation fails" said 's there a network?'

machine 0
fake apt-get 'case "$*" in *chromium*) exit 100 ;; esac'
deps test
expect "a browser that can't be had is no failure" [ "$status" = 0 ]
expect "... but it is said what is skipped for it" said "test of the report's page is skipped"
expect "... and the rest is installed" called '^apt-get .*install -y .*python3-scipy python3-torch'

# As ninja does after Ctrl-C: it ends, and not by the signal.
machine 0
ln -s "$(command -v mkdir)" "$work/bin/mkdir"
fake dpkg-query 'printf installed'
fake cmake 'case "$*" in *version*) echo cmake version 3.25.1 ;; *) trap "" INT; kill -INT 0; exit 2 ;; esac'
try setsid --wait env PATH="$work/bin" "$source_dir/scripts/test" -R none
expect "after Ctrl-C a script ends as interrupted" [ "$status" = 130 ]
expect "... says so" said 'interrupted'
expect "... and blames nothing else" unsaid 'could not configure'

# PyTorch's libraries, in a checkout of their own.
mkdir "$work/checkout"
cp -r "$source_dir/scripts" "$work/checkout/"
machine 0
ln -s "$(command -v mkdir)" "$work/bin/mkdir"
fake dpkg-query 'printf installed'
configured() { try env PATH="$work/bin" CI="$1" "$work/checkout/scripts/test" --preset "$2" -R none; }
configured true release
expect "in CI a warning is an error" called '^cmake --preset release .*-DTHERMOCLINE_WERROR=ON'
configured true tsan
expect "... but for a sanitizer's" uncalled '^cmake --preset tsan .*WERROR'
: >"$work/calls"
configured '' release
expect "elsewhere it is none" uncalled '^cmake --preset release .*WERROR'
expect "... and all is configured alike" called '^cmake --preset release '
torch() { try env PATH="$work/bin" "$work/checkout/scripts/deps" torch "$@"; }
with_pip() {
  machine 0
  for tool in rm mkdir mv touch; do ln -s "$(command -v "$tool")" "$work/bin/$tool"; done
  # shellcheck disable=SC2016  # the fake expands it
  fake dpkg-query '[ "$4" = python3-pip ] || grep -q "^apt-get .*install .*$4" '"$work/calls"' && printf installed'
  fake python3 "$1"
}
with_pip 'exit 1'
torch
expect "where pip can't get PyTorch, deps takes Debian's" [ "$status" = 0 ]
expect "... says so" said "falling back to Debian's libtorch"
expect "... and installs it, with a fast matrix library" called '^apt-get .*install .*libtorch-dev libopenblas0-pthread'
torch --print-dir
expect "... which is then the one in use" said '^/usr$'
# shellcheck disable=SC2016  # the fake expands it
with_pip 'while [ "$1" != --target ]; do shift; done; mkdir -p "$2/torch/lib"; : >"$2/torch/lib/libtorch_cpu.so"'
torch
expect "where pip can, deps takes the wheel" called '^python3 -m pip install .*torch=='
expect "... and nothing of Debian's" uncalled '^apt-get'
torch --print-dir
expect "... which is then the one in use, though Debian's is there" said '/checkout/.deps/torch/torch$'
: >"$work/calls"
torch
expect "... and is not fetched again" uncalled '^python3'

# clang-tidy, and what scripts/tidy makes of what it says.
lint() { try env PATH="$work/bin" "$work/checkout/scripts/deps" lint "$@"; }
with_pip 'exit 1'
lint
expect "where pip can't get clang-tidy, deps takes Debian's" [ "$status" = 0 ]
expect "... says so" said "falling back to Debian's"
expect "... and installs it" called '^apt-get .*install .*clang-tidy'
lint --print-clang-tidy
expect "... which is then the one in use" said '^clang-tidy$'
# shellcheck disable=SC2016  # the fake expands it
with_pip 'while [ "$1" != --target ]; do shift; done; mkdir -p "$2/clang_tidy/data/bin"
cp '"$work"'/clang-tidy "$2/clang_tidy/data/bin/clang-tidy"'
ln -s "$(command -v cp)" "$work/bin/cp"
# The last argument is the file: one is in order, two include a header that isn't, and one makes clang-tidy crash.
cat >"$work/clang-tidy" <<'END'
#!/usr/bin/env bash
case ${!#} in
  src/include?.cc) printf '%s\n' "h.h:1:2: error: bad [some-check]" "    1 | what is bad" "h.h:3:4: note: see"; exit 1 ;;
  src/crash.cc) echo 'PLEASE submit a bug report' >&2; kill -KILL $$ ;;
  src/interrupted.cc) kill -INT 0 ;;
esac
END
chmod +x "$work/clang-tidy"
rm "$work"/checkout/.deps/clang-tidy-*.debian
lint
expect "where pip can, deps takes one version of clang-tidy" called '^python3 -m pip install .*clang-tidy==[0-9.]*$'
expect "... and nothing of Debian's" uncalled '^apt-get .*install .*clang-tidy'
: >"$work/calls"
fake dpkg-query 'printf installed'
lint
expect "... and does not fetch it again" uncalled '^python3'
expect "... and says nothing" [ ! -s "$work/output" ]
lint --print-clang-tidy
expect "... which is then the one in use" said '/checkout/.deps/clang-tidy-.*/clang-tidy$'

for tool in nproc sed xargs mktemp; do ln -s "$(command -v "$tool")" "$work/bin/$tool"; done
mkdir -p "$work/checkout/build/release" "$work/tmp"
: >"$work/checkout/build/release/CMakeCache.txt"
tidy() {
  local file
  for file in "$@"; do printf '  "file": "%s/checkout/src/%s.cc"\n' "$work" "$file"; done \
    >"$work/checkout/build/release/compile_commands.json"
  try setsid --wait env PATH="$work/bin" TMPDIR="$work/tmp" "$work/checkout/scripts/tidy"
}
tidy good{1..120}
expect "with no finding, tidy succeeds" [ "$status" = 0 ]
expect "... says how far it is" said '^clang-tidy: 100 of 120 files$'
expect "... and how many files there were" said 'nothing found in 120 files'
tidy good1 include1 include2 good2
expect "a finding fails" [ "$status" = 1 ]
expect "... and is shown once, with its notes" [ "$(grep -c 'h.h:' "$work/output")" = 2 ]
expect "... while each file that has it is named" said 'failed on 2 files (1 findings.*: src/include[12].cc src/include[12].cc'
tidy good1 crash
expect "a clang-tidy that crashes fails" [ "$status" = 1 ]
expect "... and says on what file" said 'status 137 on src/crash.cc'
expect "... and what it said" said 'PLEASE submit a bug report'
tidy good1 interrupted good{2..9}
expect "after Ctrl-C tidy ends as interrupted" [ "$status" = 130 ]
expect "... and says so" said 'interrupted'
expect "tidy leaves nothing behind" [ -z "$(ls "$work/tmp")" ]

cmake_version=3.24.4 machine 0
deps build
expect "an older cmake on PATH is refused" [ "$status" = 1 ]
expect "... by name" said '3.24.4'

deps gpu
expect "a set that there isn't is wrong usage" [ "$status" = 2 ]
deps build --print-dir
expect "--print-dir without torch is wrong usage" [ "$status" = 2 ]
try "$source_dir/scripts/test" --preset
expect "an option without its value is wrong usage" [ "$status" = 2 ]
try "$source_dir/scripts/test" --preset releese
expect "a preset that there isn't is wrong usage" [ "$status" = 2 ]


# The short names of the Makefile, and the presets that it and the documents name.
if command -v make >/dev/null; then
  short_name() {
    try env -u MAKEFLAGS -u MAKELEVEL make -n -C "$source_dir" "$1"
    expect "make $1 is there" [ "$status" = 0 ]
    expect "... and calls $2" said "^$2\$"
    expect "... which is there" [ -x "$source_dir/${2%% *}" ]
  }
  short_name deps 'scripts/deps build demo torch test lint'
  short_name demo 'scripts/demo'
  short_name test 'scripts/test'
  short_name test-vm 'scripts/test-vm'
  short_name bench 'scripts/bench'
  short_name asan 'scripts/test --preset asan-ubsan -L sanitize'
  short_name tsan 'scripts/test --preset tsan -L sanitize'
  short_name tidy 'scripts/tidy'
  short_name format 'scripts/format'
  try env -u MAKEFLAGS -u MAKELEVEL make -n -C "$source_dir" install PREFIX=/opt/thermocline
  expect "make install is there" [ "$status" = 0 ]
  expect "... builds" said '^cmake --build --preset release$'
  expect "... and installs to where it is told" said '^cmake --install build/release --prefix "/opt/thermocline"$'
else
  echo "Skipped: needs make, for the short names of the Makefile"
fi
for kind in configure build test; do
  try cmake -S "$source_dir" --list-presets="$kind"
  for preset in release dev asan-ubsan tsan coverage; do
    expect "there is a $kind preset $preset" said "^  \"$preset\""
  done
done

# What is wrong is said before anything is installed or built: these run with no tool to do so.
machine 1000
refused() {
  local what=$1 says=$2
  shift 2
  try env PATH="$work/bin" "$@"
  expect "$what is wrong usage" [ "$status" = 2 ]
  expect "... and it is said what would be right" said "$says"
}
refused "a number of steps that is none" 'give a number' "$source_dir/scripts/demo" --steps few
refused "a flag where a value should be" 'give a number' "$source_dir/scripts/demo" --steps --quick
refused "a slow tier that there isn't" 'write file:DIR' "$source_dir/scripts/demo" --slow /var/tmp
refused "a row that there isn't" 'there are glibc' "$source_dir/scripts/demo" --only thermocline-20,lru20
refused "an argument of .ci/run" '\.ci/run --help' "$source_dir/.ci/run" --preset
try bash "$source_dir/.ci/run" --help
expect ".ci/run --help says what it does and does nothing" said 'Everything a change must pass'

[ "$failures" = 0 ] || exit 1

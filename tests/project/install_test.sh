#!/usr/bin/env bash
# Installs the build into a temporary prefix, moves that elsewhere, and builds and runs a C and a C++ program against it,
# by find_package and by pkg-config; where there is an adapter for PyTorch, one against that, and the sample of its header;
# then README's two programs.
#   install_test.sh BUILD_DIR CONSUMER_DIR VERSION [PYTORCH_DIR]
set -euo pipefail
build=$1
consumer=$2
version=$3
torch=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "install_test: $*" >&2
  exit 1
}

cmake --install "$build" --prefix "$work/first" >"$work/log" || { cat "$work/log" >&2; fail "cmake --install failed"; }
mv "$work/first" "$work/prefix"
prefix=$work/prefix
lib=$(dirname "$(find "$prefix" -name libthermocline.so)")
[ -e "$lib/libthermocline.so.$version" ] || fail "there is no libthermocline.so.$version"
[ -L "$lib/libthermocline.so" ] || fail "there is no link libthermocline.so"
[ -e "$prefix/include/thermocline/thermocline.h" ] || fail "thermocline.h was not installed"
[ -z "$(find "$prefix" -path '*/src/*' -o -name '*.a' -o -name '*test*')" ] ||
  fail "internals were installed: $(find "$prefix" -path '*/src/*' -o -name '*.a' -o -name '*test*')"

runs() {
  local output
  output=$("$1") || fail "$2: the program failed: $output"
  [ "$output" = "thermocline $version" ] || fail "$2: the program printed '$output', not 'thermocline $version'"
  echo "install_test: $2: ok"
}

configure() {
  cmake -S "$consumer" -B "$work/cmake" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DWANTED_VERSION="${version%.*}" "$@" \
    >"$work/log" 2>&1
}

# What the adapter can't be used for is said. CMake breaks the lines of messages.
refuses() {
  local said=$1
  shift
  ! configure -DWITH_TORCH=ON "$@" || fail "the adapter was found with $*"
  [[ $(tr -s ' \n' ' ' <"$work/log") = *"$said"* ]] || { cat "$work/log" >&2; fail "with $* it was not said: $said"; }
}
mkdir -p "$work"/{none,other/lib,other/include/c10/core,other/include/torch/headeronly}
touch "$work"/other/lib/{libtorch_cpu,libc10}.so "$work/other/include/c10/core/Allocator.h"
printf '#define TORCH_VERSION_%s\n' 'MAJOR 1' 'MINOR 0' >"$work/other/include/torch/headeronly/version.h"
if [ -n "$torch" ]; then
  refuses "PyTorch's C++ libraries were not found. Set THERMOCLINE_TORCH_DIR" -DTHERMOCLINE_TORCH_DIR="$work/none"
  refuses "what was found is PyTorch 1.0." -DTHERMOCLINE_TORCH_DIR="$work/other"
else
  refuses "It was built without PyTorch" -DTHERMOCLINE_TORCH_DIR="$work/none"
fi

{
  configure -DWITH_TORCH="${torch:+ON}" -DTHERMOCLINE_TORCH_DIR="$torch" && cmake --build "$work/cmake" >"$work/log" 2>&1
} || {
  cat "$work/log" >&2
  fail "find_package failed"
}
runs "$work/cmake/consumer_c" "C by find_package"
runs "$work/cmake/consumer_cc" "C++ by find_package"

export PKG_CONFIG_PATH=$lib/pkgconfig LD_LIBRARY_PATH=$lib
[ "$(pkg-config --modversion thermocline)" = "$version" ] || fail "pkg-config gives another version"
# shellcheck disable=SC2046  # flags are words
cc -std=c11 -o "$work/pc_c" "$consumer/consumer.c" $(pkg-config --cflags --libs thermocline)
# shellcheck disable=SC2046
c++ -std=c++20 -o "$work/pc_cc" "$consumer/consumer.cc" $(pkg-config --cflags --libs thermocline)
runs "$work/pc_c" "C by pkg-config"
runs "$work/pc_cc" "C++ by pkg-config"

if [ -n "$torch" ]; then
  runs "$work/cmake/consumer_torch" "the adapter by find_package"
  # PyTorch's own flags are the program's affair.
  place=()
  if [ "$torch" != /usr ]; then
    torch_lib=$(dirname "$(find "$torch/lib" -name libtorch_cpu.so -print -quit)")
    place=(-isystem "$torch/include" -L"$torch_lib" "-Wl,-rpath,$torch_lib" "-Wl,--allow-shlib-undefined")
  fi
  {
    printf '%s\n' '#include <stdio.h>' '#include <ATen/ops/ones.h>' '#include <thermocline/torch.h>' \
      '#ifndef NDEBUG' '#error' '#endif' 'void Train() { at::ones({1 << 20}); }' 'int main() {' 'const int steps = 3;'
    sed -n 's|^//   ||p' "$prefix/include/thermocline/torch.h"
    printf '%s\n' 'if (runtime->Stats().steps == steps) printf("thermocline %s\n", tc_version());' '}'
  } >"$work/sample.cc"
  # shellcheck disable=SC2046
  c++ -std=c++20 -Wall -Werror -o "$work/sample" "$work/sample.cc" "${place[@]}" \
    $(pkg-config --cflags --libs thermocline_torch) -ltorch_cpu -lc10 || fail "the sample in torch.h does not compile"
  THERMOCLINE_SLOW=emulated:in=1GB/s,out=1GB/s runs "$work/sample" "the adapter by pkg-config, as torch.h shows"
fi

# README's first screen is code that people copy.
block() { awk -v fence='```'"$1" '$0 == fence {on = 1; next} /^```/ {on = 0} on' "$consumer/../../../README.md"; }
block cpp >"$work/readme.cc"
block c >"$work/readme.c"
for program in "$work/readme.cc" "$work/readme.c"; do
  [ -s "$program" ] || fail "README.md has no block for ${program##*/}"
  [ "$(grep -c . "$program")" -le 10 ] || fail "README's ${program##*/} has more than ten lines"
done
# shellcheck disable=SC2046
c++ -std=c++20 -Wall -Werror -o "$work/readme_cc" "$work/readme.cc" $(pkg-config --cflags --libs thermocline)
# shellcheck disable=SC2046
cc -std=c11 -Wall -Werror -o "$work/readme_c" "$work/readme.c" $(pkg-config --cflags --libs thermocline)
export THERMOCLINE_FAST=64MiB THERMOCLINE_SLOW=file:/var/tmp
"$work/readme_cc" || fail "README's C++ program exits with $?"
"$work/readme_c" || fail "README's C program exits with $?"
echo "install_test: README's programs: ok"

# The installed command finds the library that it puts in front of a program.
unset LD_LIBRARY_PATH
if [ -x "$prefix/bin/thermocline" ]; then
  said=$("$prefix/bin/thermocline" run --fast 16MiB --planner lru -- dd if=/dev/zero of=/dev/null bs=8M count=1 status=none 2>&1) ||
    fail "thermocline run fails: $said"
  [[ $said = *"thermocline: peak 8.0"* ]] || fail "thermocline run placed nothing: $said"
  echo "install_test: thermocline run: ok"
fi

# Everything installed that is a program or a library finds its libraries from where it now is, and looks for them in no
# folder of the machine that built it. PyTorch's are found by the program that is linked with the adapter.
while read -r file; do
  missing=$(ldd "$file" 2>/dev/null | grep 'not found' || true)
  if [[ $file = */libthermocline_torch.so* ]]; then missing=$(grep -v -e libtorch_cpu -e libc10 <<<"$missing" || true); fi
  [ -z "$missing" ] || fail "$file does not find: $missing"
  paths=$(readelf -d "$file" 2>/dev/null | sed -n 's/.*PATH).*\[\(.*\)\]/\1/p')
  # shellcheck disable=SC2016  # the loader expands it
  [[ -z $paths || ($paths = '$ORIGIN/'* && $paths != *:*) ]] || fail "$file looks for libraries in $paths"
done < <(find "$prefix" -type f \( -name '*.so*' -o -path '*/bin/*' \))

# Short names for daily work; each is a thin call of what does it. `make -n NAME` shows the call.
.PHONY: all deps demo test test-vm bench asan tsan tidy format install

all: build/release/build.ninja
	cmake --build --preset release

build/release/build.ninja:
	scripts/deps build
	cmake --preset release -DTHERMOCLINE_TORCH_DIR="$$(scripts/deps torch --print-dir 2>/dev/null)"

deps:
	scripts/deps build demo torch test lint

demo:
	scripts/demo

test:
	scripts/test

# A machine with two memory nodes and Linux 6.1, in QEMU.
test-vm:
	scripts/test-vm

bench: all
	scripts/bench

# The tests that have threads, signals or raw memory in them carry the label sanitize.
asan:
	scripts/test --preset asan-ubsan -L sanitize

tsan:
	scripts/test --preset tsan -L sanitize

tidy:
	scripts/tidy

format:
	scripts/format

# PREFIX=/usr/local and DESTDIR as usual.
PREFIX ?= /usr/local
install: all
	cmake --install build/release --prefix "$(PREFIX)"

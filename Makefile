# What a newcomer types.  The build itself is Meson's: meson.build.

.PHONY: help deps build build-all build-asan build-tsan run test bench fuzz install clean format
help:
	@echo 'make run      install what is missing, build, start a rootless gateway'
	@echo 'make test     install what is missing, build, run every test'
	@echo 'make bench    the tunnel beside its rivals, where they are installed (RIVALS=install) (BENCH=--help)'
	@echo 'make fuzz     every fuzz target for FUZZ_SECONDS each (60)'
	@echo 'make install  programs, man page, completions, unit (DESTDIR, PREFIX=/usr/local)'

PREFIX ?= /usr/local
WERROR ?= $(if $(CI),true,false)
FUZZ_SECONDS ?= 60

deps:
	@tools/install-deps

deps-test:
	@tools/install-deps --test

build/build.ninja:
	meson setup build --prefix=$(PREFIX) -Dwerror=$(WERROR)

build: deps build/build.ninja
	ninja -C build programs

build-asan/build.ninja:
	CC=clang meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true -Dwerror=$(WERROR)

build-asan: build-asan/build.ninja
	ninja -C build-asan

build-tsan/build.ninja:
	CC=clang meson setup build-tsan -Db_sanitize=thread -Db_lundef=false -Dwerror=$(WERROR)

build-tsan: build-tsan/build.ninja
	ninja -C build-tsan server/tunnel/warren-tunnel tests/net/tunnel/flows tests/net/tunnel/wire

run: build
	@deploy/run

build-all: deps build/build.ninja
	ninja -C build

test: deps-test build-all build-asan build-tsan
	tests/run

bench: deps-test build
	ninja -C build bench-programs
	$(if $(filter install,$(RIVALS)),tools/install-rivals)
	python3 tests/bench/bench.py $(BENCH)

fuzz: deps-test build-asan
	tests/fuzz/run $(FUZZ_SECONDS)

install: build
	meson install -C build --no-rebuild

clean:
	rm -rf build build-asan build-tsan

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

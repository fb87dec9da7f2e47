# The tasks of coromega_ws. `make` alone lists them.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PREFIX ?= /usr/local
DESTDIR ?=
CARGOFLAGS ?= --locked
TARGET := $(or $(CARGO_TARGET_DIR),target)
STAGE := $(CURDIR)/build/stage
VENV := .venv
LUA_VERSIONS := 5.1 5.2 5.3 5.4
COUNT ?= 1000000

CORE_SOURCES := Cargo.toml $(wildcard Cargo.lock) include/coromega_ws.h \
    $(shell find core ffi-c -name '*.rs' -o -name Cargo.toml)
LUA_SOURCES := $(shell find lua-binding -type f)
PYTHON_SOURCES := $(shell find python-binding -type f -not -name '*.pyc' -not -name '*.so*')
LUA_MODULES := $(LUA_VERSIONS:%=build/lua/%/coromega_ws.so)
C_EXAMPLES := $(patsubst examples/c/%.c,build/examples/c/%,$(wildcard examples/c/*.c))

.PHONY: help demo test peers interop autobahn hold sanitize valgrind models mutants fuzz chaos soak bench instructions build install script header docs lint clean setup

help: ## this list
	@echo "make demo                 the WebSocket dialogue in Lua, in Python and in C"
	@echo "make test                 every test"
	@echo "make peers                installs Node's ws, Chromium and websocat for those tests of"
	@echo "                          \`make test' that talk to them, and are skipped without them"
	@echo "make interop              every test against WebSocket peers of other projects"
	@echo "make soak                 1,000,000 messages through each echo server (COUNT=...)"
	@echo "make hold                 10,000 connections of a Lua and of a Python server on one core for five"
	@echo "                          minutes, into docs/held.md"
	@echo "make bench                unmasking and UTF-8 against memcpy, then our echo servers and clients"
	@echo "                          beside those of others, into docs/benchmark.md: half an hour (QUICK=1: the"
	@echo "                          first table, within five minutes, into build/bench/report/)"
	@echo "make instructions         counts what each echo server of ours spends on a message, against"
	@echo "                          bench/instructions.txt, as in \`make test\` (WRITE=1 writes it anew)"
	@echo "make autobahn             the Autobahn TestSuite, into docs/autobahn.md (QUICK=1: a part of it,"
	@echo "                          as in \`make test\`); wants a Python 2.7"
	@echo "make sanitize             the C tests with AddressSanitizer in the library, then with"
	@echo "                          ThreadSanitizer in it and in Rust's own, as in \`make test\`"
	@echo "make valgrind             the C tests, the tests of Lua 5.4 and most of Python's under valgrind, as"
	@echo "                          in \`make test\`"
	@echo "make models               what threads do to each other, in every order (loom), as in \`make test\`"
	@echo "make mutants              breaks the library in thirty-one places, each of which a model has to find"
	@echo "make fuzz                 the fuzz targets, half an hour each (TARGET=..., SECONDS=...; five"
	@echo "                          seconds each in \`make test\`)"
	@echo "make chaos                everything at once for ten minutes, in all three languages (SECONDS=...,"
	@echo "                          SEED=... replays a run; ten seconds in \`make test\`)"
	@echo "make build                the library, the Lua modules, the wheel (in dist/), the examples"
	@echo "make install PREFIX=DIR   installs the library and the Lua modules (default /usr/local)"
	@echo "make script FILE=x.lua    runs a script on each Lua (LUA=lua5.4 picks one;"
	@echo "                          FOR=10 interrupts it after ten seconds, as Ctrl-C would)"
	@echo "make header               writes include/coromega_ws.h anew"
	@echo "make docs                 writes docs/rules.md anew"
	@echo "make lint                 formatting, clippy, and every language's own checks"
	@echo "make clean                removes what was built"

# What the machine must have. Seen to once; `make setup` looks again.
setup build/setup.stamp: tools/setup.sh Cargo.toml
	@tools/setup.sh
	@mkdir -p build && touch build/setup.stamp

$(VENV)/ready: tools/requirements.txt python-binding/requirements-dev.txt \
    tests/interop/peers/requirements.txt | build/setup.stamp
	tools/venv.sh $(VENV) $^
	@touch $@

build/library.stamp: $(CORE_SOURCES) | build/setup.stamp
	cargo build $(CARGOFLAGS) --release -p coromega_ws
	@mkdir -p build && touch $@

build/lua/%/coromega_ws.so: build/library.stamp $(LUA_SOURCES) | build/setup.stamp
	cargo build $(CARGOFLAGS) --release -p coromega_ws_lua --no-default-features \
	    --features lua$(subst .,,$*)
	@mkdir -p $(@D) && cp $(TARGET)/release/libcoromega_ws_lua.so $@

build/wheel.stamp: build/library.stamp $(PYTHON_SOURCES) $(VENV)/ready
	tools/wheel.sh $(VENV) $(CARGOFLAGS)
	@mkdir -p build && touch $@

build/stage.stamp: build/library.stamp $(LUA_MODULES) include/coromega_ws.h \
    lua-binding tools/install.sh
	tools/install.sh $(TARGET) $(STAGE)
	@touch $@

build/examples/c/%: examples/c/%.c build/stage.stamp
	@mkdir -p $(@D)
	PKG_CONFIG_PATH=$(STAGE)/lib/pkgconfig tools/cc.sh $< -o $@ -Wl,-rpath,$(STAGE)/lib

# Those of other projects that the interop tests talk to, as far as .venv has them not.
build/peers/ready: tools/peers.sh $(wildcard tests/interop/peers/package*.json) | build/setup.stamp
	tools/peers.sh build/peers
	@touch $@

build: build/stage.stamp build/wheel.stamp $(C_EXAMPLES)

demo: build
	@tools/demo.sh

test: build
	tools/rules.py --check docs/rules.md
	cargo test $(CARGOFLAGS)
	tests/c/run.sh
	PREFIX=$(STAGE) tests/lua/run.sh
	$(VENV)/bin/python -m pytest -q tests/python
	$(VENV)/bin/python -m pytest -q -rs tests/lifecycle tests/interop tests/chaos
	$(VENV)/bin/python tests/interop/autobahn/run.py --quick --if-possible --no-skips
	tools/sanitize.sh address
	tools/sanitize.sh thread --if-possible
	tools/valgrind.sh
	tools/models.sh
	tools/fuzz.sh 5
	bench/setup.sh ours
	bench/instructions.py
	$(VENV)/bin/python tests/chaos/run.py 10 1

peers: build/peers/ready

interop: build peers
	COROMEGA_PEERS=all $(VENV)/bin/python -m pytest -q -rs tests/interop/peers

autobahn: build
	$(VENV)/bin/python tests/interop/autobahn/run.py --no-skips $(if $(QUICK),--quick)

sanitize: build/stage.stamp
	tools/sanitize.sh address
	tools/sanitize.sh thread

valgrind: build
	tools/valgrind.sh

models: | build/setup.stamp
	tools/models.sh

mutants: | build/setup.stamp
	tools/mutants.sh

# TARGET is make's word for the folder of cargo as well, unless it comes with the command.
fuzz: | build/setup.stamp
	tools/fuzz.sh $(or $(SECONDS),1800) $(if $(filter command%,$(origin TARGET)),$(TARGET))

chaos: build
	$(VENV)/bin/python tests/chaos/run.py $(or $(SECONDS),600) $(SEED)

soak: build
	COROMEGA_SOAK=$(COUNT) $(VENV)/bin/python -m pytest -q -s tests/interop -k S14

hold: build
	bench/hold.py --write docs/held.md

bench: build
	@cargo test -q $(CARGOFLAGS) --release -p coromega_ws_core --lib -- --ignored --nocapture speed::
	bench/setup.sh
	build/bench/venv/bin/python bench/run.py $(if $(QUICK),--quick,--write)

instructions: build
	@bench/setup.sh ours
	@bench/instructions.py $(if $(WRITE),--write)

install: build/library.stamp $(LUA_MODULES)
	tools/install.sh $(TARGET) $(PREFIX) $(DESTDIR)

script: build/stage.stamp
	@tools/script.sh "$(FILE)"

header:
	UPDATE_HEADER=1 cargo test $(CARGOFLAGS) -p coromega_ws --test header

docs:
	tools/rules.py docs/rules.md

lint: build/stage.stamp $(VENV)/ready
	tools/lint.sh $(CARGOFLAGS)

clean:
	rm -rf build dist $(VENV) $(TARGET)

export LUA FOR STAGE

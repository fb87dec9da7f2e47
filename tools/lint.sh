#!/bin/sh
# Every language's own checks: lint.sh [flag of cargo]...
set -eu
cd "$(dirname "$0")/.."
say() {
    echo "== $*"
}

say "cargo fmt"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path bench/peers/Cargo.toml --check
cargo fmt --manifest-path bench/load/Cargo.toml --check
say "clippy: core and the C ABI"
cargo clippy "$@" --all-targets -p coromega_ws_core -p coromega_ws_abi -p coromega_ws -- -D warnings
say "clippy: the load generator"
CARGO_TARGET_DIR=build/load cargo clippy --locked --quiet --manifest-path bench/load/Cargo.toml -- -D warnings
say "clippy: the models"
RUSTFLAGS="--cfg modelled" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/models \
    cargo clippy "$@" --all-targets -p coromega_ws_core -- -D warnings
for lua in lua51 lua52 lua53 lua54; do
    say "clippy: the Lua module for $lua"
    cargo clippy "$@" -p coromega_ws_lua --no-default-features --features $lua -- -D warnings
done
say "clippy: the Python module"
cargo clippy "$@" -p coromega_ws_python -- -D warnings

say "Lua: every file parses on 5.1"
find lua-binding examples tests bench -name '*.lua' -exec luac5.1 -p {} +

say "Python: ruff"
.venv/bin/ruff check --no-cache --quiet python-binding examples tests tools bench
.venv/bin/python -m compileall -q python-binding/coromega_ws examples/python tests tools bench

say "C: the examples, with every warning an error"
export PKG_CONFIG_PATH="$PWD/build/stage/lib/pkgconfig"
for source in examples/c/*.c bench/ours/c/*.c; do
    tools/cc.sh -fsyntax-only "$source"
done

say "shell: every script parses"
for script in tools/*.sh tests/*/*.sh bench/*.sh bench/*/*.sh bench/*/*/*.sh .ci/run; do
    sh -n "$script"
done

say "docs/rules.md is fresh"
tools/rules.py --check docs/rules.md

say "the options in the documents are those of the library"
tools/options.py docs/semantics.md docs/semantics.zh-CN.md

say "docs/security.md names tests that exist, and Cargo.lock has what it asks for"
tools/security.py

say "hand-written files are short"
long=$(find core ffi-c lua-binding python-binding tests tools examples bench fuzz \
    \( -name '*.rs' -o -name '*.c' -o -name '*.h' -o -name '*.lua' -o -name '*.py' -o -name '*.pyi' \) \
    -exec awk 'END { if (NR > 450) print FILENAME ": " NR " lines" }' {} \;)
if [ -n "$long" ]; then
    echo "$long" >&2
    exit 1
fi

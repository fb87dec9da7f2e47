#!/bin/sh
# Sees to it that this machine has what building and testing needs: Debian packages, Rust.
# Says nothing when all is there.
set -eu
cd "$(dirname "$0")/.."
. tools/debian.sh
. tools/python.sh

need cc gcc
need c++ g++
need pkg-config pkg-config
need openssl openssl
need valgrind valgrind
for version in 5.1 5.2 5.3 5.4; do
    need lua$version lua$version
    need_library liblua$version.so.0 liblua$version-0
done
need luajit luajit
if ! find_python >/dev/null; then
    if command -v python3 >/dev/null && ! is_new_enough python3; then
        missing="$missing python3.11 python3.11-venv"
    else
        missing="$missing python3 python3-venv"
    fi
fi

install_missing

wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null; then
    echo "There is no Rust toolchain: version $wanted or newer is needed (https://rustup.rs)." >&2
    exit 1
fi
found=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
oldest=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)
if [ "$oldest" != "$wanted" ]; then
    echo "This Rust toolchain is $found: version $wanted or newer is needed (rustup update)." >&2
    exit 1
fi

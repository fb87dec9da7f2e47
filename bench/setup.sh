#!/bin/sh
# Builds what `make bench` runs, beside the library: the load generator, our programs in C, the peers.
# What the tools say goes to stderr: the tables stand alone.
set -eu
cd "$(dirname "$0")/.."
exec >&2
export PKG_CONFIG_PATH="$PWD/build/stage/lib/pkgconfig"
mkdir -p build/bench/ours
cargo build --locked --release --quiet --manifest-path bench/load/Cargo.toml --target-dir build/load
for program in echo client; do
    tools/cc.sh -o "build/bench/ours/$program" "bench/ours/c/$program.c" -Wl,-rpath,"$PWD/build/stage/lib"
done
[ "${1-}" != ours ] || exit 0
bench/peers/native.sh
bench/peers/lua.sh build/peers/lua
bench/peers/python.sh

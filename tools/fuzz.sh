#!/bin/sh
# Builds the fuzz targets and runs them, each from its seeds: fuzz.sh SECONDS [target]...
# A finding ends it, and its input is in build/fuzz/TARGET. What was learned stays in
# build/fuzz/TARGET/corpus for the next time.
#
# The flags are those of cargo fuzz, which can run the targets as well: libFuzzer's coverage,
# debug assertions, AddressSanitizer. A stable compiler has these behind RUSTC_BOOTSTRAP.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift
host=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-target}/fuzz
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml | grep -v '^coromega_ws_fuzz$')

flags="--cfg fuzzing -Zsanitizer=address -Cdebug-assertions -Cforce-frame-pointers -Ccodegen-units=16"
flags="$flags -Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares stack-depth; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
done
# Given a target, cargo keeps the flags from build scripts.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags CARGO_TARGET_DIR=$out \
    cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml --target "$host" --bins

# Leaks are looked for at the end of a run only: a look after each input costs too much.
export ASAN_OPTIONS="detect_odr_violation=0:allocator_may_return_null=0"
fuzz/seeds.py build/fuzz/seeds
for target in "$@"; do
    results=build/fuzz/$target
    mkdir -p "$results/corpus"
    echo "== $target, $seconds s"
    if ! "$out/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -malloc_limit_mb=64 -max_len=4096 -print_final_stats=1 -artifact_prefix="$results/" \
        "$results/corpus" "build/fuzz/seeds/$target" >"$results/log" 2>&1; then
        tail -n 60 "$results/log" >&2
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */   inputs: /p;
        s/^stat::average_exec_per_sec: */   a second: /p;
        s/^stat::peak_rss_mb: */   memory, MiB: /p' "$results/log"
done

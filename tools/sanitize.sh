#!/bin/sh
# Builds the library with AddressSanitizer and runs the C tests on it: sanitize.sh [part of a name]...
# A program with a fault shows first that the sanitizer watches over the library.
#
# The sanitizer's runtime is the C compiler's. A stable Rust compiler has the flag behind
# RUSTC_BOOTSTRAP; given a target, cargo keeps it from build scripts.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}/address
place=$PWD/build/address
stage=$place/stage

RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cdebug-assertions -Cforce-frame-pointers" \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_TARGET_DIR=$target cargo build --quiet --locked --release -p coromega_ws --target "$host"

mkdir -p "$stage/lib/pkgconfig" "$stage/include"
cp "$target/$host/release/libcoromega_ws.so" "$stage/lib/libcoromega_ws.so.0"
ln -sf libcoromega_ws.so.0 "$stage/lib/libcoromega_ws.so"
cp include/coromega_ws.h "$stage/include"
sed "s|^prefix=.*|prefix=$stage|" build/stage/lib/pkgconfig/coromega_ws.pc >"$stage/lib/pkgconfig/coromega_ws.pc"

# Tests end by _exit, where nobody looks for leaks.
export ASAN_OPTIONS=detect_leaks=0
export CFLAGS="-fsanitize=address -fno-omit-frame-pointer"
fault=$place/overrun
# shellcheck disable=SC2086
"${CC:-cc}" $CFLAGS -I"$stage/include" -o "$fault" tests/sanitizer/overrun.c \
    -L"$stage/lib" -lcoromega_ws -Wl,-rpath,"$stage/lib"
if "$fault" >"$fault.log" 2>&1 || ! grep -q heap-buffer-overflow "$fault.log" ||
    ! grep -q ' core/src/' "$fault.log"; then
    cat "$fault.log" >&2
    echo "sanitize.sh: AddressSanitizer does not watch over the library" >&2
    exit 1
fi
echo "ok a fault inside the library is found"

STAGE=$stage OUT=$place/tests tests/c/run.sh "$@"

#!/bin/sh
# Builds the library with a sanitizer and runs the C tests on it:
# sanitize.sh address|thread [--if-possible] [part of a name]...
# A program with a fault shows first that the sanitizer watches over the library.
#
# A stable Rust compiler has the flags behind RUSTC_BOOTSTRAP; given a target, cargo keeps them from
# build scripts. ThreadSanitizer must see every atomic, those of Rust's own library, too: that is
# built anew, from the component rust-src. With --if-possible, a machine without it is no failure.
set -eu
cd "$(dirname "$0")/.."
sanitizer=$1
shift
host=$(rustc -vV | sed -n 's/^host: //p')
rust=$(rustc --print sysroot)/lib/rustlib
target=${CARGO_TARGET_DIR:-target}/$sanitizer
place=$PWD/build/$sanitizer
stage=$place/stage
mkdir -p "$stage/lib/pkgconfig" "$stage/include"

optional=
if [ "${1-}" = --if-possible ]; then
    optional=1
    shift
fi
cannot() {
    echo "sanitize.sh: $1" >&2
    [ -n "$optional" ] || exit 1
    echo "skipped: the C tests with the sanitizer for \"$sanitizer\""
    exit 0
}

export CFLAGS="-fsanitize=$sanitizer -fno-omit-frame-pointer"
rustflags="-Zsanitizer=$sanitizer -Cforce-frame-pointers"
case $sanitizer in
address)
    # The runtime is the C compiler's. Tests end by _exit, where nobody looks for leaks.
    rustflags="$rustflags -Cdebug-assertions"
    build_std=
    export ASAN_OPTIONS=detect_leaks=0
    fault=overrun
    signs="heap-buffer-overflow core/src/"
    ;;
thread)
    # The runtime is Rust's, which is newer than that of the C compiler, under the name that this
    # looks for. Every test ends its process: a second for reports of other threads is much then.
    [ -e "$rust/src/rust/library/Cargo.lock" ] || rustup component add rust-src ||
        cannot "Rust's own sources are not here (rustup component add rust-src)"
    runtime=$(echo "$rust/$host"/lib/librustc-*_rt.tsan.a)
    [ -e "$runtime" ] || cannot "this Rust has no ThreadSanitizer"
    ln -sf "$runtime" "$place/libtsan.a"
    rustflags="$rustflags --cfg coromega_tsan"
    build_std=-Zbuild-std=std,panic_unwind
    export CFLAGS="$CFLAGS -static-libtsan -L$place -rdynamic"
    # A child of a process with threads goes on, but is not watched.
    export TSAN_OPTIONS=exitcode=66:second_deadlock_stack=1:atexit_sleep_ms=10:die_after_fork=0
    fault=race
    signs="data.race ffi-c/src/mailbox.rs mutexes:.write"
    ;;
*)
    echo "sanitize.sh: address or thread, not $sanitizer" >&2
    exit 1
    ;;
esac

# shellcheck disable=SC2086
RUSTC_BOOTSTRAP=1 RUSTFLAGS=$rustflags CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_TARGET_DIR=$target cargo build --quiet --locked --release -p coromega_ws --target "$host" $build_std

cp "$target/$host/release/libcoromega_ws.so" "$stage/lib/libcoromega_ws.so.0"
ln -sf libcoromega_ws.so.0 "$stage/lib/libcoromega_ws.so"
cp include/coromega_ws.h "$stage/include"
sed "s|^prefix=.*|prefix=$stage|" build/stage/lib/pkgconfig/coromega_ws.pc >"$stage/lib/pkgconfig/coromega_ws.pc"

program=$place/$fault
# shellcheck disable=SC2086
"${CC:-cc}" $CFLAGS -pthread -I"$stage/include" -o "$program" "tests/sanitizer/$fault.c" \
    -L"$stage/lib" -lcoromega_ws -Wl,-rpath,"$stage/lib"
found=1
if "$program" >"$program.log" 2>&1; then
    found=
fi
for sign in $signs; do
    grep -q "$sign" "$program.log" || found=
done
if [ -z "$found" ]; then
    cat "$program.log" >&2
    echo "sanitize.sh: the sanitizer does not watch over the library" >&2
    exit 1
fi
echo "ok a fault inside the library is found ($fault)"

JOBS=${JOBS:-$(nproc)} STAGE=$stage OUT=$place/tests tests/c/run.sh "$@"

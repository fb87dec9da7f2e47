#!/bin/sh
# Builds the C tests against the staged library and runs them: tests/c/run.sh [part of a name]...
# STAGE, OUT and CFLAGS are for another library than the staged one, UNDER is a command to run the
# programs with, JOBS how many run at a time.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
stage=${STAGE:-$root/build/stage}
out=${OUT:-$root/build/tests/c}
here=$root/tests/c
mkdir -p "$out"
export JOBS="${JOBS:-1}"
# No test goes out through a proxy.
unset ws_proxy WS_PROXY wss_proxy WSS_PROXY http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY

export PKG_CONFIG_PATH="$stage/lib/pkgconfig"
cflags="${CFLAGS-} -Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags coromega_ws)"
libs="$(pkg-config --libs coromega_ws) -Wl,-rpath,$stage/lib"

failed=0
header() {
    name=$1
    shift
    # shellcheck disable=SC2086
    if "$@" $cflags -o "$out/$name" $libs && ${UNDER-} "$out/$name"; then
        echo "ok S32_$name"
    else
        echo "not ok S32_$name"
        failed=1
    fi
}

if [ $# -eq 0 ]; then
    header header_is_c99 "${CC:-cc}" -std=c99 "$here/header_c.c"
    header header_is_cpp11 "${CXX:-c++}" -std=c++11 "$here/header_cpp.cpp"
fi

export cflags libs out
printf '%s\n' "$here"/test_*.c | xargs -d '\n' -P "$JOBS" -I '{}' "$here/run_one.sh" '{}' "$@" || failed=1

if [ $failed -ne 0 ]; then
    echo "C tests: some failed" >&2
    exit 1
fi
echo "C tests: all passed"

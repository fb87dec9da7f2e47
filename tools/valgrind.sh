#!/bin/sh
# Runs tests under valgrind, with the library as it is staged: valgrind.sh [c|lua|python]...
# by default all three. An invalid read or write, or a decision by a value that was never set, is a
# failure. Two programs with faults show first that it watches over the library.
#
# What memory takes is not measured then, and times are not what they are: COROMEGA_SLOWNESS tells
# the tests. Programs that a test starts run without valgrind.
set -eu
cd "$(dirname "$0")/.."
stage=$PWD/build/stage
place=$PWD/build/valgrind
mkdir -p "$place"
[ $# -gt 0 ] || set -- c lua python
jobs=${JOBS:-$(nproc)}

# One thread runs at a time; without a fair turn, one that computes leaves the others little of it.
UNDER="valgrind -q --error-exitcode=99 --fair-sched=yes --suppressions=$PWD/tests/valgrind/noise.supp"
COROMEGA_SLOWNESS=30
export UNDER COROMEGA_SLOWNESS

expect() { # fault, what valgrind says of it
    "${CC:-cc}" -I"$stage/include" -o "$place/$1" "tests/sanitizer/$1.c" \
        -L"$stage/lib" -lcoromega_ws -Wl,-rpath,"$stage/lib"
    if $UNDER "$place/$1" >"$place/$1.log" 2>&1 || ! grep -q "$2" "$place/$1.log" ||
        ! grep -q 'cmws_mailbox_connect (mailbox.rs' "$place/$1.log"; then
        cat "$place/$1.log" >&2
        echo "valgrind.sh: valgrind does not watch over the library" >&2
        exit 1
    fi
    echo "ok a fault inside the library is found ($1)"
}
expect overrun "Invalid read"
expect unset "depends on uninitialised"

failed=
for part; do
    case $part in
    c)
        JOBS=$jobs OUT=$place/c tests/c/run.sh || failed=1
        ;;
    lua)
        # The other modules are the same code on other interpreters. LuaJIT is beyond valgrind.
        printf '%s\n' tests/lua/test_*.lua |
            PREFIX=$stage PYTHON=$PWD/.venv/bin/python ECHO_MESSAGES=2000 \
                xargs -P "$jobs" -I '{}' env TEST_FILES="$PWD/{}" tests/lua/run.sh lua5.4 || failed=1
        ;;
    python)
        # Objects from Python's own pools would hide what is wrong with them. Left out: uvloop, under
        # which the module does the same, and tests that move megabytes in small pieces through
        # Python, which takes so long that connections are given up.
        PYTHONMALLOC=malloc $UNDER .venv/bin/python -m pytest -q tests/python \
            --ignore tests/python/test_sending.py \
            -k 'not uvloop and not while_a_send_waits and not over_100_connections' || failed=1
        ;;
    *)
        echo "valgrind.sh: c, lua or python, not $part" >&2
        exit 1
        ;;
    esac
done
if [ -n "$failed" ]; then
    echo "valgrind.sh: some failed" >&2
    exit 1
fi
echo "Nothing for valgrind to report: $*"

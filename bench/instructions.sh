#!/bin/sh
# Counts the instructions that the C echo server spends on a message, outside the kernel. Unlike
# time, the count hardly differs from run to run: small changes show, whatever else the machine
# does. Prints the count, then where it goes. Large messages are judged by time alone: a copy by
# `rep movsb` counts as one instruction per byte.
#
#     WSLOAD=PROGRAM bench/instructions.sh [SIZE CONNECTIONS DEPTH]     default 125 10 16
#
# Two windows of different length: their difference leaves out starting and the handshakes.
set -eu
cd "$(dirname "$0")/.."
: "${WSLOAD:?must be the path of the load generator wsload}"
size=${1:-125} connections=${2:-10} depth=${3:-16}
command -v valgrind >/dev/null || { echo "instructions.sh: valgrind is missing" >&2; exit 1; }
make -s build/examples/c/echo_server >&2

place=$(mktemp -d)
server=
trap 'kill -9 $server 2>/dev/null || true; rm -rf "$place"' EXIT
trap 'exit 1' HUP INT PIPE TERM
valgrind -q --tool=callgrind --callgrind-out-file="$place/counts" build/examples/c/echo_server \
    >"$place/out" 2>"$place/err" &
server=$!
tries=0
until grep -q LISTENING "$place/out"; do
    tries=$((tries + 1))
    if [ $tries -gt 600 ] || ! kill -0 $server 2>/dev/null; then
        cat "$place/err" >&2
        exit 1
    fi
    sleep 0.1
done
port=$(sed -n 's/^LISTENING //p' "$place/out")

load() { # seconds; prints how many messages came back
    "$WSLOAD" --url "ws://127.0.0.1:$port/" --size "$size" --connections "$connections" \
        --depth "$depth" --warmup 0 --seconds "$1" | sed -n 's/.*"messages":\([0-9]*\),.*/\1/p'
}
dump() {
    callgrind_control --dump $server >/dev/null 2>&1
}
# A dump starts the counters anew.
load 2 >/dev/null
dump
short=$(load 1)
dump
long=$(load 6)
dump

count() { # the sum of a dump's events
    sed -n 's/^\(totals\|summary\): \([0-9]*\).*/\2/p' "$place/counts.$1" | tail -n 1
}
echo "$size B, $connections x $depth: $((($(count 3) - $(count 2)) / (long - short))) instructions per message"
echo
# Functions that were running already when the counters began anew would be charged with all that
# they call: their lines begin with calls=0. Inlined code counts for the function that it is in.
sed '/^calls=0 /{N;d}' "$place/counts.3" >"$place/last"
callgrind_annotate --threshold=100 --auto=no "$place/last" | awk -v messages="$long" '
    $1 ~ /^[0-9,]+$/ && !/PROGRAM TOTALS/ {
        instructions = $1
        gsub(",", "", instructions)
        sub(/^ *[0-9,]+ *\([ 0-9.]+%\) *[^:]*:/, "")
        sub(/ \[[^ ]*\]$/, "")
        sum[$0] += instructions
    }
    END { for (f in sum) printf "%8.1f  %.110s\n", sum[f] / messages, f }' | sort -rn | head -n 25

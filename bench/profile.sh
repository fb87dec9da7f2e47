#!/bin/sh
# Where the C echo server's CPU time goes, per message: profile.sh [OPTION OF THE LOAD GENERATOR ...]
#
#     profile.sh --connections 10 --depth 16
#
# Server and load generator share the last core. Wants perf (Debian: linux-perf), and what
# `bench/setup.sh ours` builds.
set -eu
cd "$(dirname "$0")/.."
command -v perf >/dev/null || { echo "profile.sh: perf is missing (Debian: linux-perf)" >&2; exit 1; }

place=$(mktemp -d)
server=
trap 'kill -9 $server 2>/dev/null || true; rm -rf "$place"' EXIT
trap 'exit 1' HUP INT PIPE TERM
core=$(($(nproc) - 1))
taskset -c $core build/bench/ours/echo >"$place/out" &
server=$!
until grep -q LISTENING "$place/out" 2>/dev/null; do
    kill -0 $server || exit 1
    sleep 0.1
done
taskset -c $core build/load/release/load --port "$(sed -n 's/^LISTENING //p' "$place/out")" --pid $server \
    --seconds 3 "$@" >"$place/answer" &
load=$!
sleep 1
perf record --quiet --freq 4000 --pid $server --output "$place/data" -- sleep 2 >"$place/log" 2>&1 ||
    { cat "$place/log" >&2; exit 1; }
wait $load
message=$(sed -n 's/.*"server_us":\([0-9.]*\).*/\1/p' "$place/answer")
echo "$message us of CPU time for each message"
report() { # sort key, rows
    perf report --input "$place/data" --stdio --sort "$1" 2>/dev/null |
        awk -v us="$message" -v rows="$2" '/^ *[0-9]/ && n++ < rows {
            share = $1
            sub(/^ *[0-9.]+% +/, "")
            printf "%8.3f us %6.1f %%  %s\n", us * share / 100, share, $0
        }'
}
report dso 5
echo
report symbol 20

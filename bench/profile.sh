#!/bin/sh
# Where an echo server's CPU time goes, per message: profile.sh SERVER [OPTION OF THE LOAD GENERATOR ...]
#
#     profile.sh c --connections 10 --depth 16
#
# SERVER is c, lua (Lua 5.4), callbacks or awaited (Python on uvloop). It shares the last core with the load
# generator. Wants perf (Debian: linux-perf), and what `bench/setup.sh` builds.
set -eu
cd "$(dirname "$0")/.."
case ${1-} in
c) server="build/bench/ours/echo" ;;
lua) server="bench/ours/lua/run.sh lua5.4 echo.lua" ;;
callbacks | awaited) server="build/bench/venv/bin/python bench/ours/python/$1.py --uvloop" ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
shift
command -v perf >/dev/null || { echo "profile.sh: perf is missing (Debian: linux-perf)" >&2; exit 1; }

place=$(mktemp -d)
trap 'kill -9 ${pid-} 2>/dev/null || true; rm -rf "$place"' EXIT
trap 'exit 1' HUP INT PIPE TERM
core=$(($(nproc) - 1))
# shellcheck disable=SC2086
taskset -c $core $server >"$place/out" &
pid=$!
until grep -q LISTENING "$place/out" 2>/dev/null; do
    kill -0 $pid || exit 1
    sleep 0.1
done
taskset -c $core build/load/release/load --port "$(sed -n 's/^LISTENING //p' "$place/out")" --pid $pid \
    --seconds 3 "$@" >"$place/answer" &
load=$!
sleep 1
perf record --quiet --freq 4000 --pid $pid --output "$place/data" -- sleep 2 >"$place/log" 2>&1 ||
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
report dso 8
echo
report symbol 20

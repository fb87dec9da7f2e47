#!/bin/sh
# Runs a Lua script on each Lua against the staged library: script.sh FILE
#
# LUA=lua5.4 picks one Lua. FOR=10 interrupts the script after ten seconds, as Ctrl-C would.
# Ctrl-C goes to the script; when that has ended, the next Lua has its turn.
set -u
cd "$(dirname "$0")/.." || exit
. tools/lua-env.sh
STAGE=${STAGE:-$PWD/build/stage}
file=$1
if [ ! -f "$file" ]; then
    echo "make script wants FILE=, the path of a Lua script; \"$file\" is none." >&2
    exit 2
fi

failed=0
interrupted=0
trap 'interrupted=1' INT

now_ms() {
    date +%s%3N
}

# Starts the script, interrupts it after a while, and tells how long it took to end.
run_for() { # interpreter, seconds
    "$1" "$file" &
    pid=$!
    left=$(($2 * 10))
    while [ $left -gt 0 ] && kill -0 $pid 2>/dev/null; do
        sleep 0.1
        left=$((left - 1))
    done
    if [ $left -gt 0 ]; then # it ended by itself
        wait $pid
        return $?
    fi
    start=$(now_ms)
    kill -INT $pid
    wait $pid
    echo "-- interrupted after $2 s; it ended within $(($(now_ms) - start)) ms"
    return 0
}

for lua in ${LUA:-$all_luas}; do
    echo "== $lua $file"
    use_stage "$lua"
    interrupted=0
    if [ -n "${FOR:-}" ]; then
        run_for "$lua" "$FOR"
    else
        "$lua" "$file"
    fi
    status=$?
    if [ $interrupted -eq 1 ]; then
        echo "-- interrupted; Ctrl-C again within a second ends it all"
        sleep 1 || exit 130
    elif [ $status -ne 0 ]; then
        echo "-- $lua ended with status $status" >&2
        failed=1
    fi
done
exit $failed

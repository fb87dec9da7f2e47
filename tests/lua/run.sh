#!/bin/sh
# Runs the Lua tests: run.sh [INTERPRETER ...], by default all five. Each file is a process of its
# own. PREFIX names the installed tree (build/stage), TEST_FILES some files instead of all,
# UNDER a command to run the interpreter with.
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
prefix=${PREFIX:-$root/build/stage}
[ $# -gt 0 ] || set -- lua5.1 lua5.2 lua5.3 lua5.4 luajit
failed=0
for interpreter in "$@"; do
    case $(basename "$interpreter") in
        luajit* | lua5.1*) version=5.1 ;;
        lua5.*) version=5.$(basename "$interpreter" | sed 's/^lua5\.\([0-9]*\).*/\1/') ;;
        *) version=$("$interpreter" -e 'print(_VERSION:match("%d.%d"))') ;;
    esac
    LUA_PATH="$here/?.lua;$prefix/share/lua/$version/?.lua"
    LUA_CPATH="$prefix/lib/lua/$version/?.so"
    export LUA_PATH LUA_CPATH
    # Set for another version, these would hide the ones above.
    unset LUA_PATH_5_2 LUA_PATH_5_3 LUA_PATH_5_4 LUA_CPATH_5_2 LUA_CPATH_5_3 LUA_CPATH_5_4 LUA_INIT
    for file in ${TEST_FILES:-"$here"/test_*.lua}; do
        echo "# $(basename "$interpreter") $(basename "$file")"
        # shellcheck disable=SC2086
        timeout "${TEST_TIMEOUT:-300}" ${UNDER-} "$interpreter" "$file"
        status=$?
        if [ $status -ne 0 ]; then
            failed=1
            echo "not ok $(basename "$interpreter") $(basename "$file"): exit status $status"
        fi
    done
done
exit $failed

# For shell scripts to source: lets an interpreter find the staged modules, and nothing else of ours.
# The path is that of the interpreter's own version; LuaJIT's is 5.1.

# shellcheck disable=SC2034
all_luas="lua5.1 lua5.2 lua5.3 lua5.4 luajit"

use_stage() { # interpreter
    case $1 in
    luajit) lua_version=5.1 ;;
    *) lua_version=${1#lua} ;;
    esac
    unset LUA_INIT LUA_PATH_5_2 LUA_PATH_5_3 LUA_PATH_5_4 LUA_CPATH_5_2 LUA_CPATH_5_3 LUA_CPATH_5_4
    export LUA_PATH="$STAGE/share/lua/$lua_version/?.lua;;"
    export LUA_CPATH="$STAGE/lib/lua/$lua_version/?.so;;"
}

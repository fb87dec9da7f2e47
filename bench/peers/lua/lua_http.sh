#!/bin/sh
# Runs lua_http.lua: lua_http.sh lua5.4|luajit [OPTION ...]
#
# Debian installs lua-http for older Luas, LuaJIT with them. It is written in Lua alone, and what it
# needs in C is there for 5.4 as well.
case $1 in
luajit) LUA_PATH='/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua' ;;
*) LUA_PATH='/usr/share/lua/5.4/?.lua;/usr/share/lua/5.3/?.lua;/usr/share/lua/5.1/?.lua' ;;
esac
export LUA_PATH
unset LUA_INIT LUA_CPATH LUA_PATH_5_4 LUA_CPATH_5_4
interpreter=$1
shift
exec "$interpreter" "$(dirname "$0")/lua_http.lua" "$@"

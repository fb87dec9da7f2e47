#!/bin/sh
# Shows the dialogue of the users' document in Lua, in Python and in C, through one library.
set -eu
cd "$(dirname "$0")/.."
. tools/lua-env.sh
STAGE=${STAGE:-$PWD/build/stage}

echo "== The dialogue in Lua: lua5.4 examples/lua/dialogue.lua"
(
    use_stage lua5.4
    lua5.4 examples/lua/dialogue.lua
)
echo
echo "== The same in Python: python examples/python/dialogue.py"
.venv/bin/python examples/python/dialogue.py
echo
echo "== The same in C: examples/c/dialogue.c"
build/examples/c/dialogue

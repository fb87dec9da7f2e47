"""Lua states come and go, and nothing is left of them."""

import os

import pytest

from hosts import LUAS, ROOT, compile_c, lua_environment, run

HERE = ROOT / "tests/lifecycle"
LIBRARIES = {
    "lua5.1": "liblua5.1.so.0",
    "lua5.2": "liblua5.2.so.0",
    "lua5.3": "liblua5.3.so.0",
    "lua5.4": "liblua5.4.so.0",
    "luajit": "libluajit-5.1.so.2",
}
STATES = int(os.environ.get("COROMEGA_STATES", "1000"))


@pytest.fixture(scope="module")
def lua_states():
    return compile_c(HERE / "lua_states.c", ROOT / "build/tests/lifecycle/lua_states")


@pytest.mark.parametrize("lua", LUAS)
def test_S27_lua_a_thousand_states_closed_in_traffic(lua, lua_states):
    arguments = [lua_states, LIBRARIES[lua], STATES, HERE / "state.lua"]
    print(run(arguments, env=lua_environment(lua), timeout=600).strip())


@pytest.mark.parametrize("lua", ["lua5.4", "luajit"])
def test_S33_lua_states_closed_on_another_thread_than_they_were_made_on(lua, lua_states):
    arguments = [lua_states, LIBRARIES[lua], 200, HERE / "state.lua", "threads"]
    print(run(arguments, env=lua_environment(lua), timeout=600).strip())

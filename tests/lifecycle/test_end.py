"""A process may end whenever it likes."""

import signal
import subprocess
import sys
import time

import pytest

from hosts import LUAS, PATIENCE, lua_environment

LUA = """
local coromega = require("coromega_ws")
local listener = coromega:create_websocket_server("127.0.0.1", 0)
local _, port = listener:address()
listener:when_new_conn(function(conn)
    conn:when_new_msg(function(msg) if msg then conn:send_message(msg) end end)
end)
local count = 0
coromega:start_new(function()
    local conn = coromega:connect_to_websocket("ws://127.0.0.1:" .. port)
    conn:when_new_msg(function(msg)
        count = count + 1
        if count == 500 then ENDING end
        if msg then conn:send_message(msg) end
    end)
    for _ = 1, 50 do conn:send_message("traffic") end
end)
coromega:run()
"""

PYTHON = """
import os, signal, sys
import coromega_ws as coromega
listener = coromega.create_websocket_server("127.0.0.1", 0)
@listener.when_new_conn
def greet(conn):
    @conn.when_new_msg
    async def echo(msg):
        if msg is not None:
            await conn.send_message(msg)
async def client():
    conn = await coromega.connect_to_websocket(f"ws://127.0.0.1:{listener.address[1]}")
    count = 0
    @conn.when_new_msg
    async def echo(msg):
        nonlocal count
        count += 1
        if count == 500:
            ENDING
        if msg is not None:
            await conn.send_message(msg)
    for _ in range(50):
        await conn.send_message("traffic")
coromega.start_new(client)
coromega.run()
"""


def expect(arguments, env, statuses):
    start = time.monotonic()
    done = subprocess.run(arguments, env=env, timeout=PATIENCE, capture_output=True, text=True)
    assert done.returncode in statuses, (done.returncode, done.stdout, done.stderr)
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("ending", ["os.exit(0)", "coromega:halt()"])
@pytest.mark.parametrize("lua", LUAS)
def test_S33_lua_ends_in_traffic(lua, ending):
    for _ in range(5):
        expect([lua, "-e", LUA.replace("ENDING", ending)], lua_environment(lua), [0])


def test_S33_lua_closes_its_state_in_traffic():
    """From 5.2 on, os.exit can close the state first."""
    for lua in ("lua5.2", "lua5.3", "lua5.4"):
        expect([lua, "-e", LUA.replace("ENDING", "os.exit(0, true)")], lua_environment(lua), [0])


@pytest.mark.parametrize(
    "ending, statuses",
    [
        ("sys.exit(7)", [7]),
        ("os._exit(7)", [7]),
        ("raise KeyboardInterrupt", [1, 130, -signal.SIGINT]),
        ("os.kill(os.getpid(), signal.SIGTERM)", [-signal.SIGTERM]),
    ],
)
def test_S33_python_ends_in_traffic(ending, statuses):
    for _ in range(5):
        expect([sys.executable, "-c", PYTHON.replace("ENDING", ending)], None, statuses)

"""Loads the library from Lua, Python and C in the order given, and lets them talk to each other.

    one_process.py C_GUEST LUA ORDER...      (LUA is a module of lupa, ORDER of c, lua, python)

Ends with status 0 if each language was served by each, by one runtime.
"""

import asyncio
import ctypes
import importlib
import os
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
from hosts import STAGE  # noqa: E402

C_GUEST, LUA, *ORDER = sys.argv[1:]

SERVE = """
local coromega = require("coromega_ws")
local listener = coromega:create_websocket_server("127.0.0.1", 0):when_new_conn(function(conn)
    conn:when_new_msg(function(msg)
        if msg then
            conn:send_message(msg)
        end
    end)
end)
local _, port = listener:address()
return port, function() coromega:run() end
"""

ASK = """
local url, text = ...
local coromega = require("coromega_ws")
local answer
coromega:start_new(function()
    local conn = assert(coromega:connect_to_websocket(url))
    conn:send_message(text)
    answer = conn:receive_message()
    conn:close()
end)
coromega:run()
return answer
"""

# A connection whose handle is lent to other languages; it receives what they had echoed.
LEND = """
local url, lend = ...
local coromega = require("coromega_ws")
local answers = {}
coromega:start_new(function()
    local conn = assert(coromega:connect_to_websocket(url))
    local count = lend(conn:handle())
    for _ = 1, count do
        answers[#answers + 1] = conn:receive_message()
    end
    conn:close()
end)
coromega:run()
return table.concat(answers, " ")
"""


# A connection that goes from one Lua state to Python, to C, to another Lua state and back, while
# messages come.
RELAY = """
local url, relay = ...
local coromega = require("coromega_ws")
local told
coromega:start_new(function()
    local conn = assert(coromega:connect_to_websocket(url))
    for n = 1, 500 do
        conn:send_message(tostring(n))
    end
    local function take(first, last)
        for n = first, last do
            assert(conn:receive_message() == tostring(n), n)
        end
    end
    take(1, 10)
    local old = conn
    relay(conn:handle(), function(handle)
        conn = assert(coromega:from_handle(handle))
    end)
    assert(conn ~= old)
    assert(old:send_message("x") == "moved")
    local message, why = old:receive_message()
    assert(message == nil and why == "moved", why)
    assert(select(2, old:info()) == "moved")
    assert(old:close() == "moved")
    assert(select(2, coromega:from_handle(old:handle())) == "moved")
    take(41, 500)
    conn:close()
    told = "done"
end)
coromega:run()
return told
"""

# What another state does with it: takes some, and gives it on from inside its loop.
BETWEEN = """
local handle, back = ...
local coromega = require("coromega_ws")
coromega:start_new(function()
    local conn = assert(coromega:from_handle(handle))
    local seen = 30
    conn:when_new_msg(function(message, _, reason)
        if message == nil then
            assert(reason == "moved", reason)
            return
        end
        seen = seen + 1
        assert(message == tostring(seen), message)
        if seen == 40 then
            back(conn:handle())
        end
    end)
    while seen < 40 do
        coromega:sleep(0.001)
    end
end)
coromega:run()
"""


def runtime_threads():
    names = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as comm:
            names.append(comm.read().strip())
    return names.count("coromega-ws")


class Lua:
    def __init__(self):
        flags = sys.getdlopenflags()
        # A module for Lua takes Lua's functions from the process, as an interpreter offers them.
        sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
        self.lupa = importlib.import_module(f"lupa.{LUA}")
        sys.setdlopenflags(flags)
        self.version = {"lua51": "5.1", "lua52": "5.2", "lua53": "5.3", "lua54": "5.4"}.get(LUA, "5.1")
        self.state().execute('require("coromega_ws")')

    def state(self):
        state = self.lupa.LuaRuntime()
        state.globals().package.cpath = f"{STAGE}/lib/lua/{self.version}/?.so"
        state.globals().package.path = f"{STAGE}/share/lua/{self.version}/?.lua"
        return state

    def serve(self):
        port, run = self.state().execute(SERVE)
        threading.Thread(target=run, daemon=True).start()
        return port

    def ask(self, url, text):
        return self.state().execute(ASK, url, text)


class Python:
    def __init__(self):
        self.coromega = importlib.import_module("coromega_ws")

    def serve(self):
        started = threading.Event()

        async def serve():
            def greet(conn):
                async def echo(msg):
                    if msg is not None:
                        await conn.send_message(msg)

                conn.when_new_msg(echo)

            listener = self.coromega.create_websocket_server("127.0.0.1", 0).when_new_conn(greet)
            self.port = listener.address[1]
            started.set()
            await asyncio.Event().wait()

        threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
        assert started.wait(30)
        return self.port

    def ask(self, url, text):
        async def ask():
            conn = await self.coromega.connect_to_websocket(url)
            await conn.send_message(text)
            answer = await conn.receive_message()
            await conn.close()
            return answer

        return asyncio.run(ask())


class C:
    def __init__(self):
        self.guest = ctypes.CDLL(C_GUEST)

    def serve(self):
        port = self.guest.c_serve()
        assert port
        return port

    def ask(self, url, text):
        answer = ctypes.create_string_buffer(200)
        length = self.guest.c_ask(url.encode(), text.encode(), answer, len(answer))
        assert length >= 0
        return answer.raw[:length].decode()


guests = {}
for language in ORDER:
    guests[language] = {"c": C, "lua": Lua, "python": Python}[language]()
assert runtime_threads() == 0, "loading started the runtime"

for server_name, server in guests.items():
    url = f"ws://127.0.0.1:{server.serve()}/"
    for client_name, client in guests.items():
        text = f"{client_name} asks {server_name}"
        answer = client.ask(url, text)
        assert answer == text, (answer, text)
        assert runtime_threads() == 1


def lend(handle):
    """Sends on Lua's connection from Python and from C; returns how many messages that were."""
    handle = int(handle)
    guests["python"].coromega.ForeignConnection(handle).send_message("python")
    assert guests["c"].guest.c_send(ctypes.c_uint64(handle), b"c") == 0
    return 2


answer = guests["lua"].state().execute(LEND, f"ws://127.0.0.1:{guests['c'].serve()}/", lend)
assert answer == "python c", answer

def relay(handle, back):
    """Takes Lua's connection over in Python, in C and in another state; `back` has it in the end."""
    guest = guests["c"].guest
    guest.c_relay.restype = ctypes.c_uint64
    other = guests["lua"].state()

    async def take():
        coromega = guests["python"].coromega
        conn = coromega.from_handle(int(handle))
        for n in range(11, 21):
            assert await conn.receive_message() == str(n)
        in_c = guest.c_relay(ctypes.c_uint64(conn.handle), 21, 10)
        assert in_c
        try:
            await conn.receive_message()
            raise AssertionError("it has moved")
        except coromega.Moved:
            pass
        try:
            await conn.send_message("x")
            raise AssertionError("it was sent")
        except coromega.Moved:
            pass
        other.execute(BETWEEN, in_c, lambda handle: back(int(handle)))

    asyncio.run(take())


told = guests["lua"].state().execute(RELAY, f"ws://127.0.0.1:{guests['c'].serve()}/", relay)
assert told == "done", told

with open("/proc/self/maps") as maps:
    copies = {line.split()[-1] for line in maps if "libcoromega_ws.so" in line}
assert len(copies) == 1, copies
print("ok", *ORDER)
sys.stdout.flush()

"""The servers and clients that are measured."""

import os
import pathlib
from dataclasses import dataclass, field

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
STAGE = ROOT / "build/stage"
OURS = ROOT / "build/bench/ours"
NATIVE = ROOT / "build/peers/bin"
PYTHON = ROOT / "build/bench/venv/bin/python"


@dataclass
class Subject:
    """A library in a language. `cannot` are options of the interface that it has not."""

    name: str
    language: str
    server: list
    client: list | None = None
    environment: dict = field(default_factory=dict)
    cannot: tuple = ()
    # Sends bytes back, and knows nothing of WebSocket.
    raw: bool = False
    ours: bool = False

    def can(self, workload):
        return workload.has_floor if self.raw else not set(workload.needs) & set(self.cannot)


def lua(name, interpreter):
    version = "5.1" if interpreter == "luajit" else interpreter.removeprefix("lua")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUA_")} | {
        "LUA_PATH": f"{STAGE}/share/lua/{version}/?.lua;;",
        "LUA_CPATH": f"{STAGE}/lib/lua/{version}/?.so;;",
    }
    return Subject(
        name,
        "Lua",
        [interpreter, BENCH / "ours/lua/echo.lua"],
        [interpreter, BENCH / "ours/lua/client.lua"],
        environment,
        ours=True,
    )


def python(name, program, *options, **more):
    command = [PYTHON, BENCH / program, *options]
    return Subject(name, "Python", command, more.pop("client", command), **more)


def native(name, **more):
    program = NATIVE / name.replace("-", "_").replace("Boost.Beast", "beast")
    return Subject(name, "C, C++, Rust", [program], more.pop("client", [program]), **more)


SUBJECTS = [
    Subject("C", "C, C++, Rust", [OURS / "echo"], [OURS / "client"], ours=True),
    native("fastwebsockets"),
    native("tokio-websockets"),
    native("yawc"),
    native("tokio-tungstenite"),
    native("libwebsockets"),
    native("Boost.Beast"),
    Subject("TCP alone", "C, C++, Rust", [NATIVE / "floor"], raw=True),
    lua("Lua 5.4", "lua5.4"),
    lua("LuaJIT", "luajit"),
    Subject("nginx, lua-resty-websocket", "Lua", [BENCH / "peers/lua/nginx.sh"]),
    Subject("lua-http", "Lua", ["lua5.4", BENCH / "peers/lua/lua_http.lua"]),
    *(
        python(f"Python {form}{comma}", f"ours/python/{form}.py", *option, ours=True)
        for form in ("callbacks", "awaited")
        for comma, option in (("", ()), (", uvloop", ("--uvloop",)))
    ),
    *(
        python(f"{peer}{comma}", f"peers/python/{peer}_echo.py", *option)
        for peer in ("picows", "websockets", "aiohttp")
        for comma, option in ((", asyncio", ()), (", uvloop", ("--uvloop",)))
    ),
    python("socketify", "peers/python/socketify_echo.py", client=None),
]
BY_NAME = {subject.name: subject for subject in SUBJECTS}

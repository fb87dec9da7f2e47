"""The servers and clients that are measured."""

import pathlib
from dataclasses import dataclass

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
OURS = ROOT / "build/bench/ours"
NATIVE = ROOT / "build/peers/bin"
PYTHON = ROOT / "build/bench/venv/bin/python"

OURS_IN_C = "coromega_ws, C"


@dataclass
class Subject:
    """A library in a language. `cannot` are options of the interface that it has not."""

    name: str
    language: str
    server: list
    client: list | None = None
    cannot: tuple = ()
    # Sends bytes back, and knows nothing of WebSocket.
    raw: bool = False
    ours: bool = False

    def can(self, workload):
        return workload.has_floor if self.raw else not set(workload.needs) & set(self.cannot)


def lua(name, interpreter):
    run = [BENCH / "ours/lua/run.sh", interpreter]
    return Subject(name, "Lua", [*run, "echo.lua"], [*run, "client.lua"], ours=True)


def python(name, program, *options, **more):
    return peer(name, "Python", [PYTHON, BENCH / program, *options], **more)


def native(name, **more):
    return peer(name, "C, C++, Rust", [NATIVE / name.replace("-", "_").replace("Boost.Beast", "beast")], **more)


def peer(name, language, command, **more):
    """Its program is server and client."""
    return Subject(name, language, command, command, **more)


SUBJECTS = [
    Subject(OURS_IN_C, "C, C++, Rust", [OURS / "echo"], [OURS / "client"], ours=True),
    native("fastwebsockets", cannot=("--compress",)),
    native("tokio-websockets", cannot=("--compress",)),
    native("yawc"),
    native("tokio-tungstenite", cannot=("--compress",)),
    native("libwebsockets"),
    native("Boost.Beast"),
    Subject("TCP alone", "C, C++, Rust", [NATIVE / "floor"], raw=True),
    lua("coromega_ws, Lua 5.4", "lua5.4"),
    lua("coromega_ws, LuaJIT", "luajit"),
    peer("nginx, lua-resty-websocket", "Lua", [BENCH / "peers/lua/nginx.py"], cannot=("--compress",)),
    *(
        peer(f"lua-http, {lua}", "Lua", [BENCH / "peers/lua/lua_http.sh", lua], cannot=("--compress",))
        for lua in ("lua5.4", "luajit")
    ),
    *(
        python(f"coromega_ws, {form}{comma}", f"ours/python/{form}.py", *option, ours=True)
        for form in ("callbacks", "awaited")
        for comma, option in (("", ()), (", uvloop", ("--uvloop",)))
    ),
    *(
        python(
            f"{peer}{comma}",
            f"peers/python/{peer}_echo.py",
            *option,
            cannot=("--compress",) if peer == "picows" else (),
        )
        for peer in ("picows", "picows_websockets", "websockets", "aiohttp")
        for comma, option in ((", asyncio", ()), (", uvloop", ("--uvloop",)))
    ),
    Subject("socketify", "Python", [PYTHON, BENCH / "peers/python/socketify_echo.py"]),
]
BY_NAME = {subject.name: subject for subject in SUBJECTS}

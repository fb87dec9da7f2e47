"""Runs the languages' programs as hosts of their own, and speaks WebSocket by hand to them."""

import base64
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
STAGE = ROOT / "build" / "stage"
LIBRARY = STAGE / "lib" / "libcoromega_ws.so.0"
LUAS = ["lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit"]
# The outer limit of every wait, in seconds. Nothing is expected to take that long.
PATIENCE = 60


def lua_environment(lua):
    """The environment in which an interpreter finds the staged modules."""
    version = "5.1" if lua == "luajit" else lua.removeprefix("lua")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LUA_")}
    environment["LUA_PATH"] = f"{STAGE}/share/lua/{version}/?.lua;;"
    environment["LUA_CPATH"] = f"{STAGE}/lib/lua/{version}/?.so;;"
    return environment


def command(language, program):
    """How an example is started in a language ("c", "python", or one of LUAS)."""
    if language == "c":
        return [str(ROOT / "build/examples/c" / program)]
    if language == "python":
        return [sys.executable, str(ROOT / "examples/python" / f"{program}.py")]
    return [language, str(ROOT / "examples/lua" / f"{program}.lua")]


def environment(language):
    return lua_environment(language) if language in LUAS else None


def run(arguments, env=None, timeout=PATIENCE, **options):
    """Runs a program to its end and returns what it printed; anything but success is a failure."""
    done = subprocess.run(
        [str(a) for a in arguments], env=env, timeout=timeout, text=True, capture_output=True, **options
    )
    assert done.returncode == 0, f"{arguments}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def compile_c(source, program, *flags):
    """Compiles a C program against the staged library."""
    program.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "PKG_CONFIG_PATH": str(STAGE / "lib/pkgconfig")}
    run(
        [ROOT / "tools/cc.sh", source, "-o", program, f"-Wl,-rpath,{STAGE}/lib", "-pthread", *flags],
        env=env,
    )
    return program


class EchoServer:
    """An echo_server example in a process of its own."""

    def __init__(self, language, *arguments):
        self.process = subprocess.Popen(
            command(language, "echo_server") + ["--host", "127.0.0.1", "--port", "0", *arguments],
            env=environment(language),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("LISTENING "):
            self.process.kill()
            raise AssertionError(f"{language}: {line!r} {self.process.stderr.read()}")
        self.port = int(line.split()[1])
        self.url = f"ws://127.0.0.1:{self.port}/"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024

    def interrupt(self):
        """Sends what Ctrl-C sends; returns the seconds until the process had ended."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        return time.monotonic() - start


class Peer:
    """A WebSocket client made by hand."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            assert byte, head
            head += byte
        assert b" 101 " in head, head

    @staticmethod
    def frame(opcode, payload):
        """A whole frame, masked with zeros."""
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0xFE, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0xFF, length)
        return head + bytes(4) + payload

    def send(self, opcode, payload):
        self.socket.sendall(self.frame(opcode, payload))

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the server has left"
            data += more
        return data

    def read(self):
        """The next frame: (opcode, payload)."""
        first, second = self._exactly(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        return first & 15, self._exactly(length)

    def close(self):
        self.socket.close()

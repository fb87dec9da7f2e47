"""What the tests share: pairs of connections, peers that speak by hand, programs of their own."""

import asyncio
import base64
import os
import pathlib
import subprocess
import sys

import coromega_ws as coromega

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "python"
# The outer limit of every wait, in seconds. Nothing is expected to take that long.
PATIENCE = 60


def url(listener, path="/"):
    host, port = listener.address
    return f"ws://{host}:{port}{path}"


async def pair(server_options=None, **options):
    """A listener, a client's connection and the server's end of it."""
    accepted = asyncio.get_running_loop().create_future()
    listener = coromega.create_websocket_server("127.0.0.1", 0, **(server_options or {}))
    listener.when_new_conn(accepted.set_result)
    client = await coromega.connect_to_websocket(url(listener), **options)
    return listener, client, await accepted


async def collect(conn, count):
    """The next so many messages."""
    return [await conn.receive_message() for _ in range(count)]


async def until(condition, timeout=PATIENCE):
    """Waits for what no event tells."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def frame(payload, opcode=1, masked=True, final=True):
    """A frame, made by hand."""
    if isinstance(payload, str):
        payload = payload.encode()
    head = bytes([opcode | (0x80 if final else 0)])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + len(payload).to_bytes(8, "big")
    # A mask of zeros leaves the payload as it is.
    return head + (bytes(4) if masked else b"") + payload


async def read_frame(reader):
    """Opcode and payload of the next frame."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    elif length == 127:
        length = int.from_bytes(await reader.readexactly(8), "big")
    mask = await reader.readexactly(4) if second & 0x80 else bytes(4)
    payload = await reader.readexactly(length)
    return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


async def raw_client(listener, path="/", limit=65536, headers=""):
    """A peer that has shaken hands and leaves the rest to the test."""
    host, port = listener.address
    reader, writer = await asyncio.open_connection(host, port, limit=limit)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in answer.split(b"\r\n")[0], answer
    return reader, writer


def python(code, *arguments, timeout=PATIENCE, **options):
    """Runs Python code in a process of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, *map(str, arguments)],
        timeout=timeout,
        capture_output=True,
        text=True,
        **options,
    )


def rss():
    """This process's resident memory in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads():
    """The names of this process's threads."""
    names = []
    for task in pathlib.Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return names

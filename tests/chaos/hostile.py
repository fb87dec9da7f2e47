"""The peers that misbehave, in a process of their own, over plain sockets.

Prints the ports of two servers: one whose clients say in their path how it is to misbehave, and one
that never reads. Then each line on standard input, `number way port seed`, is a client that comes
to that port and misbehaves; its number is printed when it is through. Ends with its input.
"""

import asyncio
import base64
import hashlib
import logging
import os
import random
import socket
import struct
import sys
import zlib

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LONGEST = 3  # seconds that one of them takes


def frame(opcode, payload, masked, final=True, first=0):
    head = bytes([(0x80 if final else 0) | first | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack("!BH", bit | 126, len(payload))
    else:
        head += struct.pack("!BQ", bit | 127, len(payload))
    # A mask of zeros leaves the payload as it is.
    return head + (bytes(4) if masked else b"") + payload


def bomb(size):
    """A message of zeros, as permessage-deflate has it."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (squeeze.compress(bytes(size)) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]


BOMB = bomb(8 << 20)


def reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def read_all(reader):
    while await reader.read(65536):
        pass


async def misbehave(way, reader, writer, r, masked):
    """What either side does once the connection is open."""

    def send(opcode, payload, **more):
        writer.write(frame(opcode, payload, more.pop("masked", masked), **more))

    for _ in range(r.choice([0, 1, 3])):
        send(1, b"m" * r.choice([0, 10, 2000]))
    if way == "reset_after_open":
        await asyncio.sleep(r.choice([0, 0.01, 0.2]))
    elif way in ("reset_in_frame", "stalled_frame"):
        writer.write(frame(2, bytes(r.choice([200, 70_000, 500_000])), masked)[: r.choice([1, 3, 9, 150])])
        await asyncio.sleep(r.uniform(0.5, LONGEST) if way == "stalled_frame" else r.choice([0, 0.05]))
    elif way == "never_reads":
        # It asks for much, and takes none of the answers.
        for _ in range(r.choice([20, 300])):
            send(2, b"m" * 2000)
        await asyncio.sleep(r.uniform(0.5, LONGEST))
    elif way == "garbage_frames":
        writer.write(r.randbytes(r.choice([2, 20, 3000])))
        await asyncio.sleep(0.2)
    elif way in ("unmasked", "masked"):
        send(1, b"against the rules", masked=not masked)
        await asyncio.sleep(0.2)
    elif way == "bad_text":
        send(1, b"m\xff\xfe")
        await asyncio.sleep(0.2)
    elif way == "bad_close":
        send(8, struct.pack("!H", r.choice([0, 999, 1005, 1006, 5000])) + b"\xff" * r.choice([0, 5]))
        await asyncio.sleep(0.2)
    elif way == "huge":
        writer.write(struct.pack("!BBQ", 0x82, (0x80 if masked else 0) | 127, r.choice([1 << 21, 1 << 40, (1 << 63) - 1])))
        await asyncio.sleep(0.2)
    elif way == "bomb":
        send(2, BOMB, first=0x40)
        await asyncio.sleep(0.5)
    elif way == "fragments":
        whole = r.random() < 0.5
        send(1, b"m" if whole else b"half", final=False)
        for _ in range(r.choice([10, 3000])):
            send(0, b"", final=False)
        if whole:
            send(0, b"")
        await asyncio.sleep(r.uniform(0, 1))
    elif way == "pings":
        for n in range(r.choice([10, 3000])):
            send(9, struct.pack("!I", n))
        await asyncio.sleep(r.uniform(0, 1))
    elif way == "drip":
        for byte in frame(1, b"m drop by drop", masked):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
    elif way == "no_close_answer":
        await asyncio.sleep(r.uniform(0, LONGEST))
    elif way == "restart":
        await asyncio.sleep(r.uniform(0, 0.2))
        send(8, struct.pack("!H", r.choice([1001, 1012, 1013])))
        await asyncio.sleep(0.05)
    elif way == "proper":
        await asyncio.sleep(r.uniform(0, 0.3))
        send(8, struct.pack("!H", 1000))
        await read_all(reader)
        return
    if r.random() < 0.6:
        reset(writer)


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
BEGINNINGS = {
    "half_head": lambda r: REQUEST[: r.randrange(1, len(REQUEST) - 1)],
    "garbage_head": lambda r: r.randbytes(r.choice([5, 500, 20_000])),
    # The first bytes of TLS, of a record that may never come.
    "hello": lambda r: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + r.randbytes(r.choice([0, 50, 600])),
    "long_head": lambda r: b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * r.choice([10_000, 60_000]) + b"\r\n",
}


async def client(way, port, seed):
    r = random.Random(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
    try:
        if way == "silent":
            await asyncio.sleep(r.uniform(0, LONGEST))
        elif way in BEGINNINGS:
            writer.write(BEGINNINGS[way](r))
            await asyncio.sleep(r.choice([0, 0.01, 0.5, LONGEST]))
            if r.random() < 0.5:
                reset(writer)
        elif way != "gone_at_once":
            writer.write(REQUEST)
            if b" 101 " in await reader.readuntil(b"\r\n"):
                await misbehave(way, reader, writer, r, True)
    finally:
        writer.close()


async def server(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        _, way, seed = head.split(b" ")[1].decode().split("?")[0].split("/")
        r = random.Random(int(seed))
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        if way == "wrong_key":
            key = b"x"
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        answer = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        answer += accept + (b"\r\nSec-WebSocket-Extensions: permessage-deflate" if way == "bomb" else b"") + b"\r\n\r\n"
        if way == "silent":
            await asyncio.sleep(r.uniform(0, LONGEST))
        elif way == "reset":
            reset(writer)
        elif way == "half_answer":
            writer.write(answer[: r.randrange(1, len(answer) - 1)])
            await asyncio.sleep(r.uniform(0, LONGEST))
        elif way == "garbage_answer":
            writer.write(r.randbytes(r.choice([10, 2000, 100_000])))
        elif way == "error":
            writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % r.choice([401, 404, 500, 503]))
        elif way == "redirect":
            writer.write(b"HTTP/1.1 302 On\r\nLocation: /error/1\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(answer)
            await misbehave(way, reader, writer, r, False)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
        # A client of the library's that leaves in the middle of it all; or one that speaks TLS.
        pass
    finally:
        writer.close()


async def guarded(number, way, port, seed):
    try:
        async with asyncio.timeout(3 * LONGEST):
            await client(way, port, seed)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    print(number, flush=True)


async def main():
    # That a peer had gone when something was sent to it is no news here.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    talking = await asyncio.start_server(server, "127.0.0.1", 0, limit=65536)
    deaf = socket.create_server(("127.0.0.1", 0), backlog=5)  # whose clients nobody accepts
    print(talking.sockets[0].getsockname()[1], deaf.getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    clients = set()
    while line := await orders.readline():
        number, way, port, seed = line.split()
        task = asyncio.create_task(guarded(int(number), way.decode(), int(port), int(seed)))
        clients.add(task)
        task.add_done_callback(clients.discard)
    # What is still going on ends as processes do.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())

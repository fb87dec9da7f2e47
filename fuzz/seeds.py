#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: seeds.py DIRECTORY makes DIRECTORY/TARGET/NUMBER."""

import base64
import hashlib
import pathlib
import struct
import sys
import zlib


def frame(first, payload, mask=None):
    """A frame whose first byte is given; masked where there is a key."""
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head = bytes([first, bit | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, bit | 126]) + struct.pack(">H", len(payload))
    else:
        head = bytes([first, bit | 127]) + struct.pack(">Q", len(payload))
    if mask:
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    return head + (mask or b"") + payload


def deflate(data, bits=15, last=False):
    """A message as permessage-deflate has it; `last` with a final block (RFC 7692, 7.2.3.4)."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -bits)
    if last:
        return stream.compress(data) + stream.flush(zlib.Z_FINISH) + b"\0"
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


TEXT = "κόσμε grüße 🦀".encode()
KEY = b"\x37\xfa\x21\x3d"  # RFC 6455, 5.7
STREAMS = [
    [(0x81, b"Hello")],
    [(0x01, b"Hel"), (0x80, b"lo")],
    [(0x01, TEXT[:3]), (0x89, b"in between"), (0x00, TEXT[3:9]), (0x80, TEXT[9:])],
    [(0x82, bytes(range(126)))],
    [(0x82, b"x" * 600), (0x8A, b"pong"), (0x81, b"")],
    [(0x81, b"a"), (0x89, b"ping"), (0x88, b"\x03\xe8bye"), (0x81, b"unseen")],
    [(0x88, b"")],
    [(0x88, b"\x03\xf6")],  # 1014
    [(0x88, b"\x03\xed")],  # 1005 may not be sent
    [(0x88, b"\x03")],
    [(0x88, b"\x0b\xb8\xff")],
    [(0x81, b"\xf4\x90\x80\x80")],
    [(0x01, b"\xce"), (0x80, b"")],
    [(0x80, b"nothing to continue")],
    [(0x01, b"a"), (0x81, b"b")],
    [(0x09, b"")],
    [(0x83, b"")],
    [(0xA1, b"")],
    [(0x01, b"")] * 20 + [(0x80, b"")],
]
RAW = [
    b"\x81\x7e\x00\x05Hello",  # a length in more bytes than it needs
    b"\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x01a",
    b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\x82\x7f\x00\x00\x00\x00\x40\x00\x00\x00abc",
    b"\x89\x7e\x00\x7e",
    b"\x81\x85\x37\xfa",
]


def frame_stream():
    for frames in STREAMS:
        stream = b"".join(frame(*f) for f in frames)
        yield bytes([0x1D, 0x07, 1, 2]) + stream
        yield bytes([0x5D, 0x07, 2, 0, 200]) + stream
        yield bytes([0x1C, 0x07, 0]) + b"".join(frame(*f, KEY) for f in frames)
    for raw in RAW:
        yield bytes([0x1D, 0x07, 1, 2]) + raw
    for data in (b"", b"Hello", TEXT * 9, bytes(5000)):
        for first in (0xC1, 0xC2):
            yield bytes([0x3D, 0x0F, 0]) + frame(first, deflate(data)) * 2
            yield bytes([0x35, 0x07, 2, 0, 3]) + frame(first, deflate(data, last=True))
        body = deflate(data)
        yield bytes([0x7D, 0x0F, 1, 0]) + frame(0x41, body[:3]) + frame(0x89, b"") + frame(0x80, body[3:])


def differential():
    for frames in STREAMS:
        yield bytes([0x01]) + b"".join(frame(*f) for f in frames)
        yield bytes([0x05, 0, 3]) + b"".join(frame(*f) for f in frames)
        yield bytes([0x00]) + b"".join(frame(*f, KEY) for f in frames)
    for raw in RAW:
        yield bytes([0x01]) + raw


def round_trip():
    for flags in (0x00, 0x21, 0x2B, 0x60, 0x61):
        for client, server in ((0x0F, 0x0F), (0x07, 0x0F), (0x09, 0x02), (0x0A, 0x09)):
            messages = b"\x04\x05Hello" * 3 + b"\x03\x40" + bytes(range(64)) + b"\x08\x03abc" + b"\x00\x00"
            yield bytes([flags, client, server, 0, 250]) + messages


def inflate():
    for data in (b"", b"Hello", TEXT * 20, bytes(4000), bytes(range(256)) * 4):
        for bits in (9, 15):
            body = deflate(data, bits)
            split = min(len(body) // 4, 255)
            yield bytes([bits - 8 | 8, 3, 0, 0]) + body
            yield bytes([bits - 8 | 8, 2, 3, split]) + body[: 4 * split] + deflate(data, bits, last=True)
    yield bytes([0x0F, 3, 0, 0]) + deflate(b"Hello", last=True)[:-1] * 4
    yield bytes([0x0F, 3, 0, 0]) + b"\x03\x00" * 40
    yield bytes([0x0F, 1, 0, 2]) + b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00" + b"\xf2\x00\x11\x00\x00"  # RFC 7692, 7.2.3.2
    yield bytes([0x0F, 3, 0, 0]) + b"\x00\x05\x00\xfa\xffHello\x00"
    yield bytes([0x0F, 3, 0, 0]) + b"\x06"


def negotiation():
    name = b"permessage-deflate"
    for value in (
        b"",
        name,
        name + b"; client_max_window_bits",
        name + b"; server_no_context_takeover; client_no_context_takeover",
        name + b"; server_max_window_bits=10; client_max_window_bits=12, " + name,
        name + b'; server_max_window_bits="9"\nx-other; a="b\\c", ' + name,
        name + b"; server_max_window_bits=8",
        name + b"; server_max_window_bits=16, " + name + b"; unknown, " + name + b"; client_max_window_bits=08",
        b"x-webkit-deflate-frame, ," + name + b";;",
        name + b"; client_no_context_takeover; client_no_context_takeover",
    ):
        for client, server in ((0x0F, 0x0F), (0x01, 0x0A)):
            yield bytes([client, server]) + value


GOOD = b"""GET /chat?room=1 HTTP/1.1\r
Host: server.example.com\r
Upgrade: websocket\r
Connection: keep-alive, Upgrade\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Origin: http://example.com\r
Sec-WebSocket-Protocol: chat, superchat\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r
\r
"""


KEY_OF_ZEROS = base64.b64encode(bytes(16))
ACCEPT = base64.b64encode(hashlib.sha1(KEY_OF_ZEROS + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def request_head():
    wishes = b"/chat\0/health\0http://example.com\0superchat\0X-Served-By: me"
    for head in (
        GOOD,
        b"\r\n" + GOOD.replace(b"/chat", b"http://a/chat"),
        GOOD.replace(b"example.com\r\nU", b"example.com:80\r\nContent-Length: 0\r\nU"),
        GOOD.replace(b"Version: 13", b"Version: 8"),
        GOOD.replace(b"bm9uY2U==", b"bm9uY2V=="),
        GOOD.replace(b"permessage-deflate", b"a; b=\"c\", permessage-deflate"),
        b"GET /health HTTP/1.0\r\n\r\n",
        b"HEAD /health?x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 100 + b"\r\n",
        b"\x16\x03\x01",
    ):
        yield b"\x01\x00" + head
        yield bytes([1, len(wishes)]) + wishes + head


def response_head():
    good = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"
    )
    extension = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
    for head in (
        good,
        good + b"Sec-WebSocket-Protocol: chat\r\n",
        good + extension,
        good + extension + b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
        good.replace(ACCEPT, ACCEPT[::-1]),
        b"HTTP/1.1 100 Continue\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: /there?x\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://u:p@b:444/c#d\r\n",
        b"HTTP/1.1 307 x\r\nLocation: //b\r\nLocation: //c\r\n",
        b"HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n",
        b"HTTP/1.1 200\r\n" + b"A: b\r\n" * 101,
    ):
        for flags in (0, 9, 0x1F):
            yield bytes([flags]) + head + b"\r\n"


def address():
    for text in (
        "ws://127.0.0.1:1042",
        "WS://[::1]/path/to/ws_api?x=1&y=%20",
        "ws://Aladdin:open%20sesame@example.test?q",
        "ws://Aladdin|example.test:80/",
        "wss://example.test:443/a/../b",
        "ws://grüße.test/ä?ö",
        "ws://0x7f.1/",
        "ws://h:65535//",
        "ws+unix:///run/socket:/path?q",
        "http://x|h/",
        "ws://u:p@h:0/#f",
    ):
        yield text.encode()


def c_options():
    ops = bytes([0, 0, 6, 1, 12, 2]) + b"12345678" + bytes([1, 2, 5]) + b"/path" + bytes([1, 0, 4]) + b"chat"
    ops += bytes([2, 9]) + b"no_such_x" + bytes([4, 3]) + b"\xff\0\0\0" + bytes([5, 0, 3, 0, 18, 4])
    for size in (44, 0, 2, 20, 43, 60, 75):
        yield bytes([size]) + ops
    for which in range(15):
        yield bytes([44, 0, which, 6, which, 12, which]) + b"\1\0\0\0\0\0\0\0" + bytes([5, 0, 1, which, 1, 0x78, 5, 0])


def main():
    out = pathlib.Path(sys.argv[1])
    for seeds in (frame_stream, differential, round_trip, inflate, negotiation, request_head, response_head, address, c_options):
        folder = out / seeds.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds()):
            (folder / f"{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()

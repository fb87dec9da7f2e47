"""Raw peers for the tests: what a well-behaved WebSocket library would not do.

    peer.py MODE ARGUMENT ...

Standard library only. Lines on standard output tell what happened; the first one of a server is
"PORT n". Every peer ends by itself, at the latest after two minutes.
"""

import base64
import hashlib
import os
import signal
import socket
import struct
import sys
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def say(*words):
    print(*words, flush=True)


class Peer:
    """One end of a connection; a client masks what it sends."""

    def __init__(self, sock, client):
        self.sock = sock
        self.client = client
        self.buffer = b""

    def need(self, count):
        while len(self.buffer) < count:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def head(self):
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += self.need(1)
        return data

    def frame(self, opcode, payload=b"", fin=True, mask=None, length=None):
        mask = self.client if mask is None else mask
        length = len(payload) if length is None else length
        out = bytes([(0x80 if fin else 0) | opcode])
        bit = 0x80 if mask else 0
        if length < 126:
            out += bytes([bit | length])
        elif length < 65536:
            out += bytes([bit | 126]) + struct.pack("!H", length)
        else:
            out += bytes([bit | 127]) + struct.pack("!Q", length)
        if mask:
            key = os.urandom(4)
            out += key
            whole = int.from_bytes(payload, "big")
            keys = (key * (len(payload) // 4 + 1))[: len(payload)]
            payload = (whole ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")
        return out + payload

    def send(self, *args, **named):
        self.sock.sendall(self.frame(*args, **named))

    def receive(self):
        first, second = self.need(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.need(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.need(8))
        key = self.need(4) if second & 0x80 else None
        payload = self.need(length)
        if key:
            payload = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
        return first & 0x0F, payload

    def until_close(self, reply=True):
        """Reads on until the other side's close frame; tells it and the end."""
        count = 0
        try:
            while True:
                opcode, payload = self.receive()
                if opcode == 8:
                    code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                    say("CLOSE", code, payload[2:].decode())
                    if reply:
                        self.send(8, payload)
                elif opcode in (1, 2):
                    count += 1
                    say("MESSAGE", payload[:100].decode("latin-1"))
        except (EOFError, ConnectionError):
            say("END", count)


def connect(port, lines=b""):
    sock = socket.create_connection(("127.0.0.1", int(port)))
    key = base64.b64encode(os.urandom(16))
    sock.sendall(
        b"GET /raw?x=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nX-Test: one\r\nX-Test: two\r\nSec-WebSocket-Key: " + key
        + b"\r\n" + lines + b"\r\n"
    )
    peer = Peer(sock, True)
    peer.head()
    return peer


def listen():
    server = socket.create_server(("127.0.0.1", 0))
    say("PORT", server.getsockname()[1])
    return server


def accept(server):
    sock, _ = server.accept()
    peer = Peer(sock, False)
    head = peer.head()
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        say("HEADER", line.decode("latin-1"))
        fields[name.lower()] = value
    answer = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + answer + b"\r\n\r\n"
    )
    return peer


# Clients -----------------------------------------------------------------------------------


def numbered(port, count):
    """Sends `count` numbered messages in one write, then waits for the end."""
    peer = connect(port)
    peer.sock.sendall(b"".join(peer.frame(1, b"%d" % n) for n in range(1, int(count) + 1)))
    say("SENT")
    peer.until_close()


def sends_and_closes(port, count, code, reason):
    """Sends numbered messages and a close frame in one write."""
    peer = connect(port)
    frames = [peer.frame(1, b"%d" % n) for n in range(1, int(count) + 1)]
    frames.append(peer.frame(8, struct.pack("!H", int(code)) + reason.encode()))
    peer.sock.sendall(b"".join(frames))
    peer.until_close(reply=False)


def sends_and_aborts(port, count):
    """Sends numbered messages and resets the connection when they have been read."""
    peer = connect(port)
    peer.sock.sendall(b"".join(peer.frame(1, b"%d" % n) for n in range(1, int(count) + 1)))
    peer.receive()
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()
    say("ABORTED")


def flood(port, size, seconds):
    """Sends messages and never reads, for some time; tells how many bytes went."""
    peer = connect(port)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    frame = peer.frame(1, b"x" * int(size))
    peer.sock.settimeout(0.2)
    sent, stop = 0, time.monotonic() + float(seconds)
    rest = b""
    try:
        while time.monotonic() < stop:
            if not rest:
                rest = frame * max(1, 65536 // len(frame))
            try:
                done = peer.sock.send(rest)
                sent += done
                rest = rest[done:]
            except TimeoutError:
                pass
        say("SENT", sent)
        time.sleep(0.5)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except ConnectionError as error:
        say("ERROR", error)


def bad_frame(port, what):
    """Sends what RFC 6455 forbids and tells the answer."""
    peer = connect(port)
    if what == "unmasked":
        peer.send(1, b"hello", mask=False)
    elif what == "text":
        peer.send(1, b"\xff\xfe")
    elif what == "opcode":
        peer.send(3, b"hello")
    elif what == "large":
        peer.sock.sendall(peer.frame(2, b"", length=1 << 40)[:14])
    elif what == "declared":
        peer.sock.sendall(peer.frame(2, b"", length=1 << 29)[:14] + b"x" * 1000)
    elif what == "huge":
        peer.sock.sendall(peer.frame(2, b"", length=(1 << 62) + 5)[:14])
    elif what == "negative":  # the first bit of a length is 0 (RFC 6455, 5.2)
        peer.sock.sendall(peer.frame(2, b"", length=(1 << 63) + 5)[:14])
    peer.until_close()


def times(port):
    """Tells when messages come, in milliseconds since the first."""
    peer = connect(port)
    start = None
    try:
        while True:
            opcode, payload = peer.receive()
            if opcode == 8:
                break
            now = time.monotonic()
            start = start or now
            say("AT", round((now - start) * 1000), payload.decode())
    except (EOFError, ConnectionError):
        pass
    say("END")


# Servers -----------------------------------------------------------------------------------


def silent():
    """Accepts and never answers."""
    sock, _ = listen().accept()
    while sock.recv(4096):
        pass
    say("END")


def http(status):
    """Answers with another status than 101."""
    sock, _ = listen().accept()
    Peer(sock, False).head()
    sock.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status.encode())
    sock.close()


def garbage():
    """Answers with something that is not HTTP."""
    sock, _ = listen().accept()
    Peer(sock, False).head()
    sock.sendall(b"\x00\x01\x02 hello\r\n\r\n" * 20)
    sock.close()


def wrong_key():
    """Answers with a wrong Sec-WebSocket-Accept."""
    sock, _ = listen().accept()
    Peer(sock, False).head()
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    )
    time.sleep(0.5)


def shows():
    """Tells the request's head and what comes, and answers a close."""
    accept(listen()).until_close()


def asks(port, path, *lines):
    """Asks for a path, with these header lines too, and tells what it is answered, up to the end
    of an upgrade's head. With LEAVE it does not wait for that."""
    sock = socket.create_connection(("127.0.0.1", int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    head = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *(line for line in lines if line != "LEAVE"),
    ]
    sock.sendall("\r\n".join([*head, "", ""]).encode())
    if "LEAVE" in lines:
        time.sleep(0.1)
        return
    answer = b""
    while not (answer.startswith(b"HTTP/1.1 101") and b"\r\n\r\n" in answer):
        more = sock.recv(65536)
        if not more:
            break
        answer += more
    say(answer.decode("latin-1").replace("\r\n", "\n"))
    say("END")


def compressed(port, count, wait=0):
    """Offers compression; tells of each message whether it came compressed (RSV1), and its size."""
    peer = connect(port, b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
    time.sleep(float(wait))
    for _ in range(int(count)):
        while not peer.buffer:
            peer.buffer = peer.sock.recv(65536)
        first = peer.buffer[0]
        say("FRAME", "compressed" if first & 0x40 else "plain", len(peer.receive()[1]))
    peer.send(8)
    peer.until_close(reply=False)


def never_closes():
    """Reads on and answers no close frame."""
    accept(listen()).until_close(reply=False)


def greets(count):
    """Sends numbered messages as soon as a client is there, then waits for the end."""
    peer = accept(listen())
    peer.sock.sendall(b"".join(peer.frame(1, b"%d" % n) for n in range(1, int(count) + 1)))
    peer.until_close()


if __name__ == "__main__":
    signal.alarm(120)
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])

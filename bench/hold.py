#!/usr/bin/env python3
"""Holds connections to the Lua and the Python echo server, both on one core, with keepalive on.

    hold.py [--connections N] [--seconds S] [--write FILE]

The peers speak by hand: they answer every ping, and now and then one of them sends a message and
wants it back. It fails when a connection is lost, when a server pings too seldom, or when memory,
threads or descriptors of a server grow while it holds them.
"""

import argparse
import base64
import multiprocessing
import os
import pathlib
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
STAGE = ROOT / "build/stage"
SERVERS = {
    "Lua 5.4": ["lua5.4", "examples/lua/echo_server.lua"],
    "Python 3.11": [str(ROOT / ".venv/bin/python"), "examples/python/echo_server.py"],
}
PING_INTERVAL = 20  # the option's default
PATIENCE = 60
AT_A_TIME = 200
# What a server's memory may grow by while nothing changes, in KiB.
GROWTH = 2048


class Peer:
    """A client's end of a connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.bytes = b""
        self.pings = 0
        self.answers = []

    def upgrade(self):
        while b"\r\n\r\n" not in self.bytes:
            self.bytes += self.receive()
        head, _, self.bytes = self.bytes.partition(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head
        self.socket.setblocking(False)

    def receive(self):
        got = self.socket.recv(4096)
        if not got:
            raise ConnectionError("a server ended a connection")
        return got

    def send(self, opcode, payload):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)

    def readable(self):
        """Takes what has come; the frames are small."""
        self.bytes += self.receive()
        while len(self.bytes) >= 2 and len(self.bytes) >= 2 + self.bytes[1]:
            opcode, length = self.bytes[0] & 15, self.bytes[1]
            payload, self.bytes = self.bytes[2 : 2 + length], self.bytes[2 + length :]
            if opcode == 9:
                self.pings += 1
                self.send(10, payload)
            elif opcode == 1:
                self.answers.append(payload)
            else:
                raise ConnectionError(f"a server sent a frame with opcode {opcode}: {payload!r}")


def hold(port, count, seconds, pipe):
    """The peers of one server, in a process of their own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        peers, events = {}, select.epoll()
        while len(peers) < count:
            some = [Peer(port) for _ in range(min(AT_A_TIME, count - len(peers)))]
            for peer in some:
                peer.upgrade()
                peers[peer.socket.fileno()] = peer
                events.register(peer.socket.fileno(), select.EPOLLIN)
        pipe.send("open")
        pipe.recv()
        chosen = random.Random(1)
        echoed, end, next_message = 0, time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < end:
            for fd, _ in events.poll(min(1.0, end - now)):
                peers[fd].readable()
            if now >= next_message:
                next_message = now + 1
                echoed += speak(chosen.choice(list(peers.values())), str(echoed).encode())
        pipe.send((min(peer.pings for peer in peers.values()), sum(peer.pings for peer in peers.values()), echoed))
        pipe.recv()
    except Exception as error:
        pipe.send(error)


def speak(peer, text):
    """Sends a message and waits for it."""
    peer.send(1, text)
    waiting = select.poll()
    waiting.register(peer.socket, select.POLLIN)
    while not peer.answers:
        if not waiting.poll(PATIENCE * 1000):
            raise TimeoutError("a message did not come back")
        peer.readable()
    assert peer.answers.pop() == text
    return 1


class Server:
    def __init__(self, name, core):
        version = "5.4"
        environment = os.environ | {
            "LUA_PATH": f"{STAGE}/share/lua/{version}/?.lua",
            "LUA_CPATH": f"{STAGE}/lib/lua/{version}/?.so",
        }
        command = ["taskset", "-c", str(core), *SERVERS[name], "--max-handshakes", "1000"]
        self.name = name
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def figures(self):
        """CPU seconds, KiB of memory, threads, descriptors."""
        folder = pathlib.Path(f"/proc/{self.process.pid}")
        ticks = sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:13]))
        memory = next(
            line.split()[1] for line in (folder / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
        )
        return (
            ticks / os.sysconf("SC_CLK_TCK"),
            int(memory),
            len(list((folder / "task").iterdir())),
            len(list((folder / "fd").iterdir())),
        )

    def end(self):
        """Whether it still ran."""
        ran = self.process.poll() is None
        self.process.terminate()
        self.process.wait(PATIENCE)
        return ran


def answer(pipe, what):
    got = pipe.recv()
    if isinstance(got, Exception):
        sys.exit(f"hold.py: {what}: {type(got).__name__}: {got}")
    return got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--write", metavar="FILE")
    args = parser.parse_args()
    # Both sides, and each server, are processes of their own.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, args.connections + 1000), hard))
    if hard < args.connections + 100:
        sys.exit(f"hold.py: this machine allows a process {hard} descriptors")

    servers = [Server(name, 0) for name in SERVERS]
    empty = [server.figures() for server in servers]
    pipes, peers = [], []
    for server in servers:
        ours, theirs = multiprocessing.Pipe()
        peer = multiprocessing.Process(target=hold, args=(server.port, args.connections, args.seconds, theirs), daemon=True)
        peer.start()
        pipes.append(ours)
        peers.append(peer)
    for server, pipe in zip(servers, pipes, strict=True):
        answer(pipe, server.name)
    time.sleep(1)
    begin = [server.figures() for server in servers]
    for pipe in pipes:
        pipe.send("go")
    seen = [answer(pipe, server.name) for server, pipe in zip(servers, pipes, strict=True)]
    end = [server.figures() for server in servers]

    rows, failures = [], []
    for server, before, first, last, (fewest, pings, echoed) in zip(servers, empty, begin, end, seen, strict=True):
        cpu = last[0] - first[0]
        rows.append(
            f"| {server.name} | {args.connections:,} | {(first[1] - before[1]) / args.connections:.2f} KiB "
            f"| {last[1] - first[1]:+d} KiB | {pings:,} ({fewest} at least) | {echoed} | {100 * cpu / args.seconds:.2f} % "
            f"| {1e6 * cpu / max(1, pings):.0f} us | {last[2]} |"
        )
        if fewest < args.seconds // PING_INTERVAL - 1:
            failures.append(f"{server.name}: a connection had {fewest} pings")
        if last[1] - first[1] > GROWTH or last[2] > first[2] or last[3] > first[3]:
            failures.append(f"{server.name}: grew from {first} to {last}")
        if last[3] - before[3] < args.connections:
            failures.append(f"{server.name}: has {last[3]} descriptors")
    for pipe in pipes:
        pipe.send("end")
    for server in servers:
        if not server.end():
            failures.append(f"{server.name}: it has ended")

    head = [
        "| server | connections | memory for each | growth | pings answered | messages echoed | of one core | CPU for each ping | threads |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    table = "\n".join([*head, *rows])
    print(table)
    for failure in failures:
        print("hold.py:", failure, file=sys.stderr)
    if args.write and not failures:
        pathlib.Path(args.write).write_text(PAGE.format(seconds=args.seconds, table=table), encoding="utf-8")
    sys.exit(1 if failures else 0)


PAGE = """# Connections that are held

What `make hold` printed: the echo servers in Lua and in Python, at the same time and on one core,
hold connections for {seconds:.0f} seconds with keepalive on (a ping every 20 seconds on each). The
peers speak WebSocket by hand and answer each ping; once a second one of them sends a message and gets
it back. No connection was lost. Memory is what the servers have all to themselves, and their share of
what they have in common (PSS); growth is from the last connection's opening to the end.

{table}
"""

if __name__ == "__main__":
    main()

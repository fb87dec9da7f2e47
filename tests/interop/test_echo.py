"""The echo servers of all languages, against peers that are busy, slow or hostile.

A test's name says which languages it proves its rule for.
"""

import os
import subprocess
import time

import pytest

from hosts import LUAS, PATIENCE, ROOT, EchoServer, Peer, command, compile_c, environment, run

LANGUAGES = ["c", "python", "lua5.4", "luajit"]
ALL = ["c", "python", *LUAS]
# `make soak` asks for a million.
COUNT = int(os.environ.get("COROMEGA_SOAK", "200000"))


@pytest.fixture(scope="module")
def echo_load():
    return compile_c(ROOT / "tests/interop/echo_load.c", ROOT / "build/tests/interop/echo_load")


@pytest.mark.parametrize("language", LANGUAGES)
def test_S14_lua_python_c_no_message_lost_or_twice_and_order_kept(language, echo_load):
    with EchoServer(language) as server:
        print(language, run([echo_load, "--url", server.url, "--count", COUNT], timeout=900).strip())


@pytest.mark.parametrize("language", ALL)
def test_S17_lua_python_c_text_as_text_and_binary_as_binary(language):
    with EchoServer(language) as server:
        peer = Peer(server.port)
        samples = [(1, "grüß 你好".encode()), (2, b"\x00\xff\xfe"), (1, b""), (2, b""), (2, bytes(70000))]
        for opcode, payload in samples:
            peer.send(opcode, payload)
            assert peer.read() == (opcode, payload)
        peer.send(8, b"\x0f\xa1bye")
        assert peer.read()[0] == 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_S30_lua_python_c_limits_are_flags(language):
    with EchoServer(language, "--max-message-size", "1000") as server:
        peer = Peer(server.port)
        peer.send(2, bytes(1000))
        assert peer.read() == (2, bytes(1000))
        peer.send(2, bytes(1001))
        opcode, payload = peer.read()
        assert (opcode, payload[:2]) == (8, (1009).to_bytes(2, "big"))


@pytest.mark.parametrize("size", [100, 50_000])
@pytest.mark.parametrize("language", LANGUAGES)
def test_S29_lua_python_c_a_peer_that_never_reads_costs_little(language, size):
    """It sends until nobody takes any more; then it reads, and every message has its echo."""
    with EchoServer(language) as server:
        warm = Peer(server.port)
        warm.send(1, b"warm")
        assert warm.read() == (1, b"warm")
        before = server.resident_kib()

        peer = Peer(server.port)
        peer.socket.settimeout(1)
        frame = Peer.frame(2, bytes(size))
        per_write = max(1, 65536 // len(frame))
        data = memoryview(frame * per_write)
        written = 0
        try:
            while True:
                written += peer.socket.send(data[written % len(data) :])
                assert written < 200_000_000, "nothing stops this peer"
        except TimeoutError:
            pass
        assert server.resident_kib() - before < 24 * 1024

        # Another connection is not held up by it.
        warm.send(1, b"still here")
        assert warm.read() == (1, b"still here")

        peer.socket.settimeout(60)
        stream = peer.socket.makefile("rb")
        for _ in range(written // len(frame)):
            head = stream.read(2)
            length = head[1]
            if length == 126:
                length = int.from_bytes(stream.read(2), "big")
            assert head[0] == 0x82 and length == size
            assert stream.read(length) == bytes(size)
        assert server.resident_kib() - before < 32 * 1024


@pytest.mark.parametrize("language", ALL)
def test_S3_lua_python_c_ctrl_c_ends_an_idle_server(language):
    with EchoServer(language) as server:
        peer = Peer(server.port)
        peer.send(1, b"hello")
        assert peer.read() == (1, b"hello")
        time.sleep(0.2)
        # 100 ms are promised; the interpreter's own end and a busy machine come on top.
        assert server.interrupt() < 1.0


@pytest.mark.parametrize("language", ALL)
def test_S3_lua_python_c_ctrl_c_ends_a_server_in_full_traffic(language):
    with EchoServer(language) as server:
        peer = Peer(server.port)
        peer.socket.setblocking(False)
        burst = Peer.frame(1, b"x" * 100) * 200
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            for call in (lambda: peer.socket.send(burst), lambda: peer.socket.recv(1 << 16)):
                try:
                    call()
                except BlockingIOError:
                    pass
        assert server.interrupt() < 2.0


@pytest.mark.parametrize("language", ALL)
def test_S10_lua_python_c_a_port_in_use_is_told(language):
    with EchoServer("c") as server:
        done = subprocess.run(
            command(language, "echo_server") + ["--host", "127.0.0.1", "--port", str(server.port)],
            env=environment(language),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode != 0 or done.stderr
        assert "in use" in done.stderr
        assert "LISTENING" not in done.stdout
